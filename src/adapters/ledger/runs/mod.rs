//! The life of a run in the ledger: claimed, renewed, advanced, given back; commands of people.

mod advance;
mod claim;
mod commands;
mod lease;

pub use commands::{CommandRefused, CommandRequest, RunCommand};
pub use lease::{Guarded, Lease, Renewal, Step};
