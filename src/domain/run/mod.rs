//! The life of a run: its states, the transitions between them, failure codes.
//!
//! Guarantees: `apply` is total; nothing leaves a final state but an operator's `Reopen` and a later `RequestPublish`;
//! every failure code has a category, a retry class and guidance. Never: knows how a state is stored or announced.

mod failure;
mod guidance;
mod outcome;
mod state;

pub use failure::{Failure, FailureCategory, FailureCode};
pub use guidance::{Aftermath, Guidance};
pub use outcome::{OutboxKind, Outcome, OutcomeKind, RegistryReply};
pub use state::{ExecutionMode, IllegalTransition, State, Transition, apply};
