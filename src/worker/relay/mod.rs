//! The relay: sends what the outbox holds, in order per run and topic, at least once, with identical values.
//!
//! ```text
//!             ┌─ run events ──────┐
//!  ledger ────┼─ publications ────┼──▶ brokers ──▶ reports ──▶ marks (one transaction for all that have come)
//!   choose    ├─ refusal events ──┤
//!             ├─ dead letters ────┤      one producer a lane, a bounded number of records in flight
//!             └─ lineage ─────────┘
//! ```
//!
//! Guarantees: a record is marked as sent only by its own delivery report; the records of a stream arrive on their
//! topic in order; a topic that fails holds up no other lane; a refused record, once it is found, holds up no other
//! stream. Never: makes an event; pages by a global id; waits for the slowest record.

mod outcome;
mod progress;
mod run;
mod sender;
mod shards;
mod span;
mod turn;

pub use outcome::{RelayError, RelayOutcome};
pub use progress::RelayProgress;
pub use turn::Relay;
