//! `reproduce`: builds a bundle again from the inputs that it pins, to compare bytes.
//!
//! Guarantees: only pinned references are fetched, and each is checked against its digest. Training runs in the
//! trainer's child processes, as in a worker, within the operator's limits. A registered command is started only if its
//! digests are those in the plan. Never: opens the ledger or the evidence store.

mod compare;
mod fetch;
mod train;

pub use compare::Reproduction;

use crate::adapters::dataset::Inputs;
use crate::tools::verify::Verifier;
use crate::training::{TrainerCommand, TrainerRegistrations};
use crate::worker::runner::Ceiling;

/// What is needed to build a bundle again.
pub struct Rebuilder {
    pub inputs: Inputs,
    pub trainer: TrainerCommand,
    /// The registered commands. The command that trained the model must be among them, unchanged.
    pub commands: TrainerRegistrations,
    /// Whether a registered command may run if the kernel cannot confine it.
    pub allow_unconfined: bool,
    /// Threads of the fit.
    pub threads: u32,
    pub verifier: Verifier,
    /// The operator's limits. A bundle may come from a stranger, so its plan and its profile cannot raise them.
    pub ceiling: Ceiling,
}
