//! Upkeep that no claim does: rescue of runs with expired leases, overdue publications, pruning.

mod overdue;
mod prune;
mod rescue;

pub use prune::{Pruned, Pruning};
