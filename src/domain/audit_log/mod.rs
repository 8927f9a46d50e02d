//! The audit log as values: acts, the blocks that hold them, the chain that binds the blocks; and what the ledger's
//! facts of a platform run add up to.
//!
//! Guarantees: a block's digest follows from its number, time, text and predecessor alone, and can be computed
//! again by anybody (docs/audit-log.md). Never: reads a clock, a file or a database; says that an act was right.

mod act;
mod block;
mod chain;
mod export;
mod reconciliation;

pub use act::{Act, ActKind, Actor, ActorKind, Body, Change, Removed, Subject, Why};
pub use block::{Block, Head, InvalidHead};
pub use chain::{Broken, Chain};
pub use export::{Ending, Line, read_line};
pub use reconciliation::{Anomaly, AnomalyCode, Counters, ReconciledRun, Reconciliation, RunFacts};
