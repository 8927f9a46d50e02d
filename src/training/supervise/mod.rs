//! The worker's end: starts a child, reads its progress, measures it, and ends it at its limit or when the worker says so.
//!
//! Guarantees: whatever the child does, [`run()`] returns within the wall time and a grace period; a child that is dropped
//! is asked to end. Never: reads more of a child's output than its bounds allow.

mod output;
mod process;
mod run;
mod usage;

pub use process::TrainerCommand;
pub use run::{Error, Exit, run};
pub use usage::{ChildrenUsage, available_memory_mib};
