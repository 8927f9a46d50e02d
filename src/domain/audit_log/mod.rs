//! The audit log as values: blocks that hold acts, and the chain that binds them; the reconciliation of a platform run.
//! The acts are documents of `contract`.
//!
//! Guarantees: the digest of a block depends only on its number, time, text and predecessor, and anybody can recompute
//! it (docs/audit-log.md). Never: reads a clock, a file or a database; says that an act was right.

mod block;
mod chain;
mod reconcile;

pub use block::{Block, BrokenBlock, Ending, Line};
pub use chain::Chain;
pub use reconcile::RunFacts;
