//! The life of a run: its states, the transitions between them, failure codes.
//!
//! Guarantees: `apply` is total. A final state is left only by an operator's `Reopen` and by a later `RequestPublish`.
//! Every failure code has a category, a retry class and guidance. Never: knows how a state is stored or announced.

mod failure;
mod guidance;
mod outcome;
mod state;

pub use failure::{Failure, FailureCategory, FailureCode, Outage};
pub use guidance::{Aftermath, Guidance};
pub use outcome::{OutboxKind, Outcome, OutcomeKind, RegistryReply};
pub use state::{ExecutionMode, IllegalTransition, State, Transition, apply};
