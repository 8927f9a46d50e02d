//! What Postgres errors mean. The only place that knows an SQLSTATE.

use crate::faults::{Injected, reach};

/// Postgres went wrong. Never a run outcome: the caller waits and tries again, or stops.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Not reachable, restarting, out of connections, a timeout, a serialisation failure: try again.
    #[error("the ledger is not available: {0}")]
    Unavailable(String),
    /// COMMIT was sent and its answer lost: read back before doing anything else.
    #[error("the outcome of a commit is unknown: {0}")]
    CommitUnknown(String),
    /// A broken invariant, a missing migration, a rejected statement: a defect or a wrong set-up.
    #[error("the ledger refused: {0}")]
    Refused(String),
}

impl From<Injected> for Fault {
    fn from(injected: Injected) -> Self {
        Self::Unavailable(injected.to_string())
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => match database.code().as_deref() {
                Some(code) if is_passing(code) => Self::Unavailable(error.to_string()),
                Some(code) => Self::Refused(match next_step(code) {
                    Some(step) => format!("{error}; {step}"),
                    None => error.to_string(),
                }),
                None => Self::Refused(error.to_string()),
            },
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                Self::Unavailable(error.to_string())
            }
            sqlx::Error::Protocol(_) => Self::Unavailable(error.to_string()),
            _ => Self::Refused(error.to_string()),
        }
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
        // A password or role that is wrong, or may not log in.
        "28P01" | "28000" => Some("check user and password of [ledger] url"),
        // A right that the role lacks.
        "42501" => Some("`model-factory doctor` prints the statements that grant what is missing"),
        _ => None,
    }
}

/// What a failed COMMIT means: an answer from the database is a refusal, silence is not knowing.
pub(super) fn commit_fault(error: sqlx::Error) -> Fault {
    match error {
        sqlx::Error::Database(_) => error.into(),
        silent => Fault::CommitUnknown(silent.to_string()),
    }
}

/// After a COMMIT: a test may lose its answer.
pub(super) fn committed(point: &'static str) -> Result<(), Fault> {
    reach(point).map_err(|injected| Fault::CommitUnknown(injected.to_string()))
}
