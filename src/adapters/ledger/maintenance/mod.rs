//! Upkeep of the ledger: rescues runs with expired leases, handles overdue publications, prunes old rows.

mod overdue;
mod prune;
mod rescue;

pub use prune::{Pruned, Pruning};
