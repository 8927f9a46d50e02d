//! Maintenance: what a worker does for runs that it does not hold, beside its work and never before it.
//!
//! Two loops. [`Maintenance`] runs once in each worker with the runner's role: it rescues runs whose lease expired,
//! withdraws publications that the broker did not acknowledge in time, defers those that the registry did not answer
//! in time, and writes missing receipts. `run_gauges` runs in every worker and sets the gauges of the ledger. It is a
//! loop of its own, since counting ended runs may take long and no rescue may wait for that.
//!
//! Guarantees: a run of a dead worker is queued again within `lease_seconds`, one scan and its pause, also while every
//! slot of this worker is busy; a row that the ledger refuses, or a step that fails, holds up neither the other steps nor the loop. Any
//! number of workers may scan at once: each step locks the row and looks again before it writes.
//! Never: ends the worker.

mod gauges;
mod receipts;
mod scan;

pub(super) use gauges::run_gauges;
pub use scan::Maintenance;
