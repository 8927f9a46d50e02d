//! Places where a test lets this process die, an error come back, or its database connections break.
//!
//! Every place where a crash would matter has a name; the test suite goes through all of them. Never:
//! does anything in a release build, or twice in one process.

#[cfg(debug_assertions)]
mod armed;

#[cfg(debug_assertions)]
pub use armed::{FailpointAction, FailpointSettings, arm};

/// Every point, in the order of a record's and a run's life.
pub const POINTS: &[&str] = &[
    "intake.polled",
    "admit.begun",
    "admit.inserted",
    "audit.before",
    "audit.told",
    "admit.committed",
    "intake.decided",
    "intake.settled",
    "claim.taken",
    "claim.committed",
    "resolve.before",
    "resolve.after",
    "lineage.told",
    "train.before",
    "train.fetched",
    "train.fitted",
    "train.after",
    "put.before",
    "put.after",
    "heartbeat.before",
    "heartbeat.after",
    "evaluate.before",
    "evaluate.after",
    "advance.taken",
    "advance.committed",
    "gate.before",
    "gate.after",
    "bundle.before",
    "bundle.after",
    "publish.before",
    "complete.packed",
    "publish.after",
    "relay.read",
    "relay.produced",
    "relay.acknowledged",
    "mark.taken",
    "mark.committed",
    "answer.taken",
    "answer.committed",
    "registry.heard",
    "receipt.written",
    "rescue.taken",
    "rescue.committed",
    "withdraw.taken",
    "withdraw.committed",
    "publish_again.before",
    "publish_again.after",
    "shutdown.begun",
    "shutdown.drained",
];

/// The error that a test asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fault was injected at {0}")]
pub struct Injected(pub &'static str);

/// A point is reached. Without a test it is nothing.
#[cfg_attr(not(debug_assertions), expect(clippy::unnecessary_wraps, reason = "points are nothing in a release"))]
#[inline]
pub fn failpoint(point: &'static str) -> Result<(), Injected> {
    #[cfg(debug_assertions)]
    armed::fire(point)?;
    #[cfg(not(debug_assertions))]
    let _ = point;
    Ok(())
}
