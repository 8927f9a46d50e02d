//! What a worker does: the roles that `--roles` chooses from.

use clap::ValueEnum;
use std::collections::BTreeSet;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Role {
    /// Consumes requests and admits them.
    Intake,
    /// Carries runs to their verdict.
    Runner,
    /// Sends what the outbox holds, and listens to the registry where its word is asked for.
    Relay,
}

impl Role {
    pub fn all() -> BTreeSet<Self> {
        BTreeSet::from([Self::Intake, Self::Runner, Self::Relay])
    }
}
