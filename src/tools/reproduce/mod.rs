//! `reproduce`: builds a bundle again from the inputs that it pins, to compare bytes.
//!
//! Guarantees: nothing but the pinned references is fetched, each checked against its digest; training
//! happens in the trainer's child processes, as in a worker; a registered command is started only where it is the
//! one that the plan pins. Never: opens the ledger or the evidence store.

mod command;
mod compare;
mod fetch;
mod rebuilder;
mod train;

pub use compare::{ComparedPart, Reproduction};
pub use rebuilder::Rebuilder;
