//! The worker: its loops, and what builds, watches and drains them.
//!
//! [`run()`] checks what the configuration names, spawns the loops of the worker's roles (`assembly`), serves HTTP
//! beside them, and drains (`drain`). ARCHITECTURE.md lists the loops with their roles.

pub mod backoff;
pub mod http;
pub mod intake;
pub mod liveness;
pub mod maintenance;
pub mod registry;
pub mod relay;
pub mod runner;

mod assembly;
mod drain;
mod placement;
mod policy_watch;
mod run;

pub(crate) use placement::foreign_ledger;
pub use run::{Role, run, unique_name};
