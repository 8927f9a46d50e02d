//! Maps Postgres errors to what the caller must do. No other file names an SQLSTATE.

use crate::domain::run::IllegalTransition;
use crate::failpoints::{Injected, failpoint};
use rustls::CertificateError;
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

/// An error of the ledger, never the outcome of a run. The caller waits and tries again, or stops.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server is unreachable, restarting or out of connections, or a lock timeout or deadlock occurred. Try again.
    #[error("the ledger is not available: {0}")]
    Unavailable(String),
    /// The COMMIT was sent, but no reply came. Read back whether it was committed, or repeat what changes nothing
    /// twice.
    #[error("the outcome of a commit is unknown: {0}")]
    CommitUnknown(String),
    /// The server refuses the login, or TLS refuses the server. A person has to change something first.
    #[error("{0}")]
    Denied(PostgresDenial),
    /// The server ended a statement at its timeout. Either the server is slow, or the statement has too many rows.
    #[error("the ledger took too long: {0}")]
    TimedOut(String),
    /// The database cannot store a statement's values, or the statement needs a stored row that cannot be read. Statements
    /// without that value or row still succeed.
    #[error("the ledger cannot hold this: {0}")]
    Unfit(String),
    /// A broken invariant, a missing migration or a rejected statement. The cause is a defect or a wrong set-up.
    #[error("the ledger refused: {0}")]
    Refused(String),
}

impl From<Injected> for Error {
    fn from(injected: Injected) -> Self {
        Self::Unavailable(injected.to_string())
    }
}

/// Callers check a run's state under its lock before they take a step, so that an illegal transition is a defect.
impl From<IllegalTransition> for Error {
    fn from(error: IllegalTransition) -> Self {
        Self::Refused(error.to_string())
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => judge(&error, database.as_ref()),
            sqlx::Error::Tls(why) if why.to_string().contains("does not support TLS") => {
                Self::Denied(PostgresDenial::NoTls)
            }
            sqlx::Error::Tls(why) => Self::Denied(PostgresDenial::Tls(why.to_string())),
            sqlx::Error::Io(io) => {
                PostgresDenial::of_tls(io).map_or_else(|| Self::Unavailable(error.to_string()), Self::Denied)
            }
            sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_) => Self::Unavailable(error.to_string()),
            sqlx::Error::ColumnDecode { index, source } => {
                unreadable(&index.trim_matches('"').replace('_', " "), source)
            }
            sqlx::Error::Encode(_) => Self::Unfit(error.to_string()),
            _ => Self::Refused(error.to_string()),
        }
    }
}

fn judge(error: &sqlx::Error, database: &dyn DatabaseError) -> Error {
    let severity = database.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::severity);
    // Postgres gives this severity to errors that end or prevent the session, never to a refused statement.
    let ends_the_session = matches!(severity, Some(PgSeverity::Fatal | PgSeverity::Panic));
    let code = database.code();
    match code.as_deref() {
        Some("28000") if database.message().contains("pg_hba.conf") => {
            Error::Denied(PostgresDenial::NoRule(database.message().to_owned()))
        }
        Some("28P01" | "28000") => Error::Denied(PostgresDenial::Credentials(database.message().to_owned())),
        // The server cancels a statement at its timeout, or because an administrator asks.
        Some("57014") => Error::TimedOut(error.to_string()),
        Some(code) if is_of_content(code) => Error::Unfit(error.to_string()),
        Some(code) if is_passing(code) => Error::Unavailable(error.to_string()),
        // Not temporary, although the session ends: the database does not exist, or this role may not connect to it.
        code if ends_the_session && !matches!(code, Some("3D000" | "42501")) => Error::Unavailable(error.to_string()),
        code => Error::Refused(match code.and_then(next_step) {
            Some(step) => format!("{error}; {step}"),
            None => error.to_string(),
        }),
    }
}

/// Returns whether an error with this SQLSTATE is temporary. Classes: 08 connection, 40 rollback (serialisation,
/// deadlock), 53 resources, 57 cancelled or shutting down. Codes: 55P03 lock timeout, 25006 read-only standby.
fn is_passing(code: &str) -> bool {
    ["08", "40", "53", "57"].iter().any(|class| code.starts_with(class)) || code == "55P03" || code == "25006"
}

/// Returns whether an error with this SQLSTATE comes from the values of a statement. Classes: 21 cardinality, 22 data,
/// 23 constraints, 54 limits of the program.
fn is_of_content(code: &str) -> bool {
    ["21", "22", "23", "54"].iter().any(|class| code.starts_with(class))
}

/// Whether another transaction held the lock for longer than `lock_timeout`.
pub(super) fn is_lock_timeout(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(DatabaseError::code).as_deref() == Some("55P03")
}

fn next_step(code: &str) -> Option<&'static str> {
    match code {
        // A table or column that does not exist.
        "42P01" | "42703" => Some("the database is not migrated to this release: run `model-factory migrate`"),
        // A database that does not exist.
        "3D000" => Some("create it, or mend [ledger] url; then run `model-factory migrate`"),
        // A right that the role lacks.
        "42501" => Some("`model-factory doctor` prints the statements that grant what is missing"),
        _ => None,
    }
}

/// Builds the error for a stored value that cannot be read. The cause is a defect or a row written by hand.
pub(super) fn unreadable(what: &str, error: impl std::fmt::Display) -> Error {
    Error::Unfit(format!("it holds an unreadable {what}: {error}"))
}

/// Judges an unsuccessful COMMIT. If the database replied with an error, nothing was committed. If no reply came, the
/// outcome is unknown.
pub(super) fn commit_error(error: sqlx::Error) -> Error {
    match error {
        sqlx::Error::Database(_) => error.into(),
        silent => Error::CommitUnknown(silent.to_string()),
    }
}

/// Passes a failpoint where a test can lose the reply to a COMMIT.
pub(super) fn committed(point: &'static str) -> Result<(), Error> {
    failpoint(point).map_err(|injected| Error::CommitUnknown(injected.to_string()))
}

/// Why no session with Postgres can be opened. Waiting does not help, because a person has to change something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostgresDenial {
    #[error(
        "Postgres has no TLS, and a server on another host is only spoken to over TLS: set `ssl = on` there \
         (or `sslmode` in [ledger] url)"
    )]
    NoTls,
    #[error(
        "Postgres lets nobody in like this ({0}): it may want TLS (`sslmode=verify-full` in [ledger] url), or a rule \
         for this user and host in pg_hba.conf"
    )]
    NoRule(String),
    #[error(
        "Postgres shows a certificate of an authority that is not trusted; give the authority's in [ledger] ca_file"
    )]
    Untrusted,
    #[error("Postgres shows a certificate for another host ({0}); connect by a name that it holds")]
    WrongName(String),
    /// Postgres's certificate has expired or is not valid yet.
    #[error("Postgres shows a certificate that is not valid at this time ({0}); renew it, and check both clocks")]
    Expired(String),
    #[error("TLS to Postgres fails: {0}")]
    Tls(String),
    #[error("Postgres refuses our credentials ({0}); check the user in [ledger] url, and password_file")]
    Credentials(String),
}

impl PostgresDenial {
    /// Reads the refusal from an error. `None` if the error is no TLS error.
    pub fn of_tls(error: &std::io::Error) -> Option<Self> {
        let tls = error.get_ref()?.downcast_ref::<rustls::Error>()?;
        Some(match tls {
            rustls::Error::InvalidCertificate(certificate) => match certificate {
                CertificateError::UnknownIssuer => Self::Untrusted,
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    Self::WrongName(certificate.to_string())
                }
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Self::Expired(certificate.to_string()),
                other => Self::Tls(other.to_string()),
            },
            other => Self::Tls(other.to_string()),
        })
    }
}
