//! The audit log as values: blocks that hold acts, the chain that binds the blocks; and the reconciliation of a
//! platform run. The acts themselves are a document (`contract`).
//!
//! Guarantees: a block's digest follows from its number, time, text and predecessor alone, and anybody can compute
//! it again (docs/audit-log.md). Never: reads a clock, a file or a database; says that an act was right.

mod block;
mod chain;
mod reconcile;

pub use block::{Block, BrokenBlock, Ending, Line};
pub use chain::Chain;
pub use reconcile::RunFacts;
