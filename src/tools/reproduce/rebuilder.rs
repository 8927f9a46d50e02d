//! What building again needs.

use crate::adapters::dataset::Inputs;
use crate::domain::run::{Failure, FailureCode};
use crate::training::{TrainerCommand, TrainerRegistrations};

/// What a bundle is built again with.
pub struct Rebuilder {
    pub inputs: Inputs,
    /// How the trainer's child process is started.
    pub trainer: TrainerCommand,
    /// The registered commands; the one that trained must be the same here.
    pub commands: TrainerRegistrations,
    /// Whether a command runs where the kernel cannot confine it.
    pub allow_unconfined: bool,
    /// Threads of the fit.
    pub threads: u32,
}

/// A failure because evidence or an input cannot be read.
pub(super) fn unresolved(why: impl std::fmt::Display) -> Failure {
    Failure::new(FailureCode::EvidenceUnresolved, format!("{why}"))
}
