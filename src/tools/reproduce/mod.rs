//! `reproduce`: builds a bundle again from the inputs that it pins, to compare bytes.
//!
//! Guarantees: nothing but the pinned references is fetched, each checked against its digest; training
//! happens in the trainer's child processes, as in a worker; a registered command is started only if it is the
//! one that the plan pins. Never: opens the ledger or the evidence store.

mod compare;
mod fetch;
mod train;

pub use compare::Reproduction;

use crate::adapters::dataset::Inputs;
use crate::training::{TrainerCommand, TrainerRegistrations};

/// What it takes to build a bundle again.
pub struct Rebuilder {
    pub inputs: Inputs,
    pub trainer: TrainerCommand,
    /// The registered commands; the one that trained must be the same here.
    pub commands: TrainerRegistrations,
    /// Whether a command may run if the kernel cannot confine it.
    pub allow_unconfined: bool,
    /// Threads of the fit.
    pub threads: u32,
}
