//! The audit log as values: blocks that hold acts, the chain of blocks, and the reconciliation of a platform run. The
//! types of the acts are in `contract`.
//!
//! Guarantees: the digest of a block depends only on its number, time, text and previous block. Anybody can recompute
//! it (docs/audit-log.md). Never: reads a clock, a file or a database; judges whether an act was right.

mod block;
mod chain;
mod reconcile;

pub use block::{Block, BrokenBlock, Ending, Line};
pub use chain::Chain;
pub use reconcile::RunFacts;
