//! The life of a run in the ledger: a worker claims, renews, advances and gives back; people send commands.

mod advance;
mod claim;
mod commands;
mod lease;
mod patience;

pub use commands::{CommandRefused, CommandRequest, RunCommand};
pub use lease::{Guarded, Lease, Renewal, Step};
