//! What keeps a ledger in order while nobody works on a run: rescue, overdue publications, pruning.

mod overdue;
mod prune;
mod rescue;

pub use prune::{Pruned, Pruning};
