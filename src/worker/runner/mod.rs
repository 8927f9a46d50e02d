//! The runner: claims a run under a lease and carries it to a verdict.
//!
//! Guarantees: every document is durable before the ledger names it; evidence that an earlier attempt left is never
//! replaced, and training that it finished is not done again; whoever lost the lease stops and writes nothing.
//! Never: keeps a transaction open while work runs; trains in publish-only mode.
//!
//! A worker has one [`Runner`] and as many slots as `[worker] slots`; each runs the loop in `slot`. `attempt` tells the
//! story of one attempt, whose stages are methods of `RunAttempt` in `stages`. `lease` explains the lease.

mod attempt;
mod claim_pace;
mod evidence;
mod lease;
mod limits;
mod lineage;
mod open;
mod outcome;
mod permission;
mod progress;
mod scratch;
mod slot;
mod stages;

pub use claim_pace::ClaimPace;
pub use lease::Renewer;
pub use limits::Ceiling;
pub use open::Runner;
pub use outcome::RunnerOutcome;
pub use progress::ProgressRate;
pub use scratch::Scratch;
