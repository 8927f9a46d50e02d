//! What comes of a turn of the relay.

use crate::adapters::{kafka, ledger};

#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    #[error(transparent)]
    Kafka(#[from] kafka::Error),
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    /// The boundaries document does not give this output to Model Factory.
    #[error("OWNERSHIP_BOUNDARY_VIOLATION: the boundaries document does not give {0} to mf")]
    Ownership(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayOutcome {
    Idle,
    /// Number of records that the broker acknowledged and the ledger marked as sent.
    Sent(usize),
}
