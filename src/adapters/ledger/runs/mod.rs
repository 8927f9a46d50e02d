//! The life of a run in the ledger: claimed, renewed, advanced, given back; commands of people.

mod advance;
mod claim;
mod commands;
mod held;
mod lease;
mod progress;
mod retry;

pub use commands::{CommandRefused, CommandRequest, RunCommand};
pub use held::{Guarded, Lease, Renewal, Step};
