//! Supervises a child from the worker: starts it, reads its progress, measures its memory, and ends it at its limit or
//! when the worker stops it.
//!
//! Guarantees: whatever the child does, [`run()`] ends it at the wall time or within a grace period after. If the
//! future is dropped, the child is sent SIGTERM. Never: keeps more of a child's output than its bounds allow.

mod output;
mod process;
mod run;
mod usage;

pub use process::TrainerCommand;
pub use run::{Error, Exit, run};
pub use usage::{ChildrenUsage, available_memory_mib};
