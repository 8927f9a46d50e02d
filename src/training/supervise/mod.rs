//! The worker's end: starts a child, reads its progress, measures it, and ends it at its limit or when the worker says so.
//!
//! Guarantees: whatever the child does, [`run()`] returns within the wall time and a grace period; a child that is dropped
//! is asked to end. Never: reads more of a child's output than its bounds allow.

mod command;
mod exit;
mod memory;
mod output;
mod process_group;
mod run;
mod usage;

pub use command::TrainerCommand;
pub use exit::Exit;
pub use memory::available_memory_mib;
pub use run::{Error, run};
pub use usage::ChildrenUsage;
