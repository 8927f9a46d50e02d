//! The audit log as values: acts, the blocks that hold them, the chain that binds the blocks.
//!
//! Guarantees: a block's digest follows from its number, time, text and predecessor alone, and can be computed
//! again by anybody (docs/audit-log.md). Never: reads a clock, a file or a database; says that an act was right.

mod act;
mod block;
mod chain;
mod export;

pub use act::{Act, ActKind, Actor, ActorKind, Body, Change, Removed, Subject, Why};
pub use block::{Block, Head, InvalidHead};
pub use chain::{Broken, Chain};
pub use export::{Ending, Line, read_line};
