//! The life of a run: its states, the transitions between them, and the codes of what goes wrong.
//!
//! Guarantees: `apply` is total; final states absorb; every failure code has one category, one retry class and
//! its guidance for people. Never: knows how a state is stored or announced.

mod failure;
mod guidance;
mod outcome;
mod state;

pub use failure::{Failure, FailureCategory, FailureCode};
pub use guidance::{Aftermath, Guidance};
pub use outcome::{OutboxKind, Outcome, OutcomeKind, RegistryReply};
pub use state::{ExecutionMode, IllegalTransition, State, Transition, apply};
