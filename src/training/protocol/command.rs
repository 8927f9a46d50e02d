//! The documents around a registered command that are Model Factory's own: what its watcher gets, and what Model Factory
//! accepts of its result.

use super::registration::TrainerRegistration;
use crate::domain::contract::{Limits, ModelFormat, PinnedCommand};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// `command.json` in the job directory: which command its watcher starts, and under which limits.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandSpec {
    pub registration: TrainerRegistration,
    /// Digests that program and scripts must have.
    pub pinned: PinnedCommand,
    pub limits: Limits,
}

impl CommandSpec {
    pub const FILE: &'static str = "command.json";

    /// The command's working folder: the only folder of the job that it can reach.
    pub fn work(job_dir: &Path) -> PathBuf {
        job_dir.join("work")
    }
}

/// `accepted.json` in the job directory: what Model Factory accepted of the command's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptedModel {
    /// The model's file is named by its format.
    pub format: ModelFormat,
}

impl AcceptedModel {
    pub const FILE: &'static str = "accepted.json";
}
