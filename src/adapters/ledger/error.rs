//! What Postgres errors mean. No other file knows an SQLSTATE.

use super::setup::PostgresDenial;
use crate::domain::run::IllegalTransition;
use crate::failpoints::{Injected, failpoint};
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

/// Never the outcome of a run: the caller waits and tries again, or stops.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not reachable, restarting, out of connections, a timeout, a deadlock: try again.
    #[error("the ledger is not available: {0}")]
    Unavailable(String),
    /// COMMIT was sent and its answer lost: read back before you do anything else.
    #[error("the outcome of a commit is unknown: {0}")]
    CommitUnknown(String),
    /// The server does not let us in, or is not the server that it should be: somebody has to change something first.
    #[error("{0}")]
    Denied(PostgresDenial),
    /// A broken invariant, a missing migration, a rejected statement: a defect, or a wrong set-up.
    #[error("the ledger refused: {0}")]
    Refused(String),
}

impl From<Injected> for Error {
    fn from(injected: Injected) -> Self {
        Self::Unavailable(injected.to_string())
    }
}

/// The callers that do not expect it have locked the run and looked at its state.
impl From<IllegalTransition> for Error {
    fn from(error: IllegalTransition) -> Self {
        Self::Refused(error.to_string())
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => match judge(database.as_ref()) {
                DatabaseErrorKind::Passing => Self::Unavailable(error.to_string()),
                DatabaseErrorKind::Credentials => {
                    Self::Denied(PostgresDenial::Credentials(database.message().to_owned()))
                }
                DatabaseErrorKind::NoRule => Self::Denied(PostgresDenial::NoRule(database.message().to_owned())),
                DatabaseErrorKind::Refusal => Self::Refused(match database.code().as_deref().and_then(next_step) {
                    Some(step) => format!("{error}; {step}"),
                    None => error.to_string(),
                }),
            },
            sqlx::Error::Tls(why) if why.to_string().contains("does not support TLS") => {
                Self::Denied(PostgresDenial::NoTls)
            }
            sqlx::Error::Tls(why) => Self::Denied(PostgresDenial::Tls(why.to_string())),
            sqlx::Error::Io(io) => {
                PostgresDenial::of_tls(io).map_or_else(|| Self::Unavailable(error.to_string()), Self::Denied)
            }
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                Self::Unavailable(error.to_string())
            }
            sqlx::Error::Protocol(_) => Self::Unavailable(error.to_string()),
            sqlx::Error::ColumnDecode { index, source } => {
                unreadable(&index.trim_matches('"').replace('_', " "), source)
            }
            _ => Self::Refused(error.to_string()),
        }
    }
}

enum DatabaseErrorKind {
    /// Goes away by itself.
    Passing,
    Credentials,
    NoRule,
    Refusal,
}

fn judge(error: &dyn DatabaseError) -> DatabaseErrorKind {
    let severity = error.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::severity);
    // Postgres gives this severity to an error that ends or prevents the session, never to a refused statement.
    let ends_the_session = matches!(severity, Some(PgSeverity::Fatal | PgSeverity::Panic));
    match error.code().as_deref() {
        Some("28P01") => DatabaseErrorKind::Credentials,
        Some("28000") if error.message().contains("pg_hba.conf") => DatabaseErrorKind::NoRule,
        Some("28000") => DatabaseErrorKind::Credentials,
        Some(code) if is_passing(code) => DatabaseErrorKind::Passing,
        // No such database, or none that this role may connect to.
        Some("3D000" | "42501") => DatabaseErrorKind::Refusal,
        Some(_) | None if ends_the_session => DatabaseErrorKind::Passing,
        Some(_) | None => DatabaseErrorKind::Refusal,
    }
}

/// Classes 08 (connection), 40 (rolled back: serialisation, deadlock), 53 (resources), 57 (cancelled,
/// shutting down), 55P03 (lock timeout), 25006 (read-only standby).
fn is_passing(code: &str) -> bool {
    ["08", "40", "53", "57"].iter().any(|class| code.starts_with(class)) || code == "55P03" || code == "25006"
}

/// The advice for a wrong set-up.
fn next_step(code: &str) -> Option<&'static str> {
    match code {
        // A table or column that is not there.
        "42P01" | "42703" => Some("the database is not migrated to this release: run `model-factory migrate`"),
        // A database that is not there.
        "3D000" => Some("create it, or mend [ledger] url; then run `model-factory migrate`"),
        // A right that the role lacks.
        "42501" => Some("`model-factory doctor` prints the statements that grant what is missing"),
        _ => None,
    }
}

/// A stored value that does not read back: a defect, or a row written by hand.
pub(super) fn unreadable(what: &str, error: impl std::fmt::Display) -> Error {
    Error::Refused(format!("the ledger holds an unreadable {what}: {error}"))
}

/// A COMMIT that the database answers with an error is refused; one without an answer may have happened.
pub(super) fn commit_error(error: sqlx::Error) -> Error {
    match error {
        sqlx::Error::Database(_) => error.into(),
        silent => Error::CommitUnknown(silent.to_string()),
    }
}

/// Where a test may lose the answer of a COMMIT.
pub(super) fn committed(point: &'static str) -> Result<(), Error> {
    failpoint(point).map_err(|injected| Error::CommitUnknown(injected.to_string()))
}
