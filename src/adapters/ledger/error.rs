//! What Postgres errors mean. The only place that knows an SQLSTATE.

use super::Denial;
use crate::failpoints::{Injected, failpoint};
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

/// Postgres went wrong. Never a run outcome: the caller waits and tries again, or stops.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not reachable, restarting, out of connections, a timeout, a serialisation failure: try again.
    #[error("the ledger is not available: {0}")]
    Unavailable(String),
    /// COMMIT was sent and its answer lost: read back before doing anything else.
    #[error("the outcome of a commit is unknown: {0}")]
    CommitUnknown(String),
    /// The server does not let us in, or is not whom it should be: somebody has to change something first.
    #[error("{0}")]
    Denied(Denial),
    /// A broken invariant, a missing migration, a rejected statement: a defect or a wrong set-up.
    #[error("the ledger refused: {0}")]
    Refused(String),
}

impl From<Injected> for Error {
    fn from(injected: Injected) -> Self {
        Self::Unavailable(injected.to_string())
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => match judge(database.as_ref()) {
                Judgement::Passing => Self::Unavailable(error.to_string()),
                Judgement::Credentials => Self::Denied(Denial::Credentials(database.message().to_owned())),
                Judgement::NoRule => Self::Denied(Denial::NoRule(database.message().to_owned())),
                Judgement::Refusal => Self::Refused(match database.code().as_deref().and_then(next_step) {
                    Some(step) => format!("{error}; {step}"),
                    None => error.to_string(),
                }),
            },
            sqlx::Error::Tls(why) if why.to_string().contains("does not support TLS") => Self::Denied(Denial::NoTls),
            sqlx::Error::Tls(why) => Self::Denied(Denial::Tls(why.to_string())),
            sqlx::Error::Io(io) => {
                Denial::of_tls(io).map_or_else(|| Self::Unavailable(error.to_string()), Self::Denied)
            }
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                Self::Unavailable(error.to_string())
            }
            sqlx::Error::Protocol(_) => Self::Unavailable(error.to_string()),
            _ => Self::Refused(error.to_string()),
        }
    }
}

enum Judgement {
    Passing,
    Credentials,
    NoRule,
    Refusal,
}

fn judge(error: &dyn DatabaseError) -> Judgement {
    let severity = error.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::severity);
    // Only a session that ends, or never began, ends with this severity: a statement that is refused does not.
    let ends_the_session = matches!(severity, Some(PgSeverity::Fatal | PgSeverity::Panic));
    match error.code().as_deref() {
        Some("28P01") => Judgement::Credentials,
        Some("28000") if error.message().contains("pg_hba.conf") => Judgement::NoRule,
        Some("28000") => Judgement::Credentials,
        Some(code) if is_passing(code) => Judgement::Passing,
        // No such database, or none that this role may connect to.
        Some("3D000" | "42501") => Judgement::Refusal,
        Some(_) | None if ends_the_session => Judgement::Passing,
        Some(_) | None => Judgement::Refusal,
    }
}

/// Classes 08 (connection), 40 (rolled back: serialisation, deadlock), 53 (resources), 57 (cancelled,
/// shutting down), 55P03 (lock timeout), 25006 (read-only standby).
fn is_passing(code: &str) -> bool {
    ["08", "40", "53", "57"].iter().any(|class| code.starts_with(class)) || code == "55P03" || code == "25006"
}

/// What somebody can do about a set-up that is wrong.
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

/// What a failed COMMIT means: an answer from the database is a refusal, silence is not knowing.
pub(super) fn commit_fault(error: sqlx::Error) -> Error {
    match error {
        sqlx::Error::Database(_) => error.into(),
        silent => Error::CommitUnknown(silent.to_string()),
    }
}

/// After a COMMIT: a test may lose its answer.
pub(super) fn committed(point: &'static str) -> Result<(), Error> {
    failpoint(point).map_err(|injected| Error::CommitUnknown(injected.to_string()))
}
