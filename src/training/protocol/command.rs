//! The documents around a registered command: what its watcher gets, what it gets, what it leaves, what we take.

use super::registration::TrainerRegistration;
use crate::domain::contract::{Feature, Limits};
use crate::domain::identity::RunId;
use crate::modelling::{FeatureCategories, ModelFormat, PinnedCommand};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
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

/// `job.json` in the work folder, `learning.trainer_job.v0`: everything that the command is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainerJob {
    pub schema_version: String,
    pub run_id: RunId,
    /// The profile's parameters for the command, unchanged.
    pub parameters: BTreeMap<String, Value>,
    /// The model's inputs, in this order.
    pub features: Vec<Feature>,
    /// The values that the codes of categorical features stand for.
    pub categories: Vec<FeatureCategories>,
    /// For everything random.
    pub seed: u64,
    /// Threads to fit with.
    pub threads: u32,
    pub files: JobFiles,
    pub rows: JobRows,
    /// The watcher ends a command that exceeds them.
    pub limits: Limits,
}

impl TrainerJob {
    pub const SCHEMA_VERSION: &'static str = "learning.trainer_job.v0";
    pub const FILE: &'static str = "job.json";
}

/// Names of Parquet files in the work folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobFiles {
    /// Rows to fit on, with labels.
    pub train: String,
    /// Rows for early stopping and tuning, with labels.
    pub validation: Option<String>,
    /// Rows to score, without labels.
    pub score: String,
}

impl JobFiles {
    pub const TRAIN: &'static str = "train.parquet";
    pub const VALIDATION: &'static str = "validation.parquet";
    pub const SCORE: &'static str = "score.parquet";
}

/// Number of rows in each file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobRows {
    pub train: u64,
    pub validation: u64,
    pub score: u64,
}

/// `result.json` in the work folder, `learning.trainer_result.v0`: written by the command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainerResult {
    pub schema_version: String,
    pub model: SavedModel,
}

impl TrainerResult {
    pub const SCHEMA_VERSION: &'static str = "learning.trainer_result.v0";
    pub const FILE: &'static str = "result.json";
    /// The command's scores of `score.parquet`.
    pub const SCORES: &'static str = "scores.parquet";
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedModel {
    pub format: ModelFormat,
    /// Relative to the work folder.
    pub path: String,
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
