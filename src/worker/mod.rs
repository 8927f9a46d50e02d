//! The worker: its loops, and what builds, watches and drains them.
//!
//! [`run()`] checks what the configuration names, spawns the loops of the worker's roles (`assembly`), serves HTTP beside
//! them, and drains (`drain`):
//!
//! | loop | role | how many |
//! |---|---|---|
//! | [`intake`] | intake | one |
//! | [`runner`] | runner | one a slot, with one thread that renews their leases |
//! | [`maintenance`] | runner | one |
//! | [`relay`] | relay | one |
//! | [`registry`] | relay, where publications are confirmed by the registry | one |
//! | gauges of the ledger | any | one |

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
mod run;

pub use run::{Role, run, unique_name};
