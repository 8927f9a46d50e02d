//! What the processes around a trainer command are told: `command.json` in the job directory.

use super::command::TrainerRegistration;
use crate::domain::contract::{Feature, Limits};
use crate::domain::identity::RunId;
use crate::modelling::{FeatureCategories, ModelFormat, PinnedCommand};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// `command.json`: which command is started, and under which limits.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandOrder {
    /// As the operator registered it.
    pub registration: TrainerRegistration,
    /// What it must be.
    pub pinned: PinnedCommand,
    /// At which it is ended.
    pub limits: Limits,
}

impl CommandOrder {
    /// Its name in the job directory.
    pub const FILE: &'static str = "command.json";

    /// Where the command works: the only folder of the job that it can reach.
    pub fn work(job_dir: &Path) -> PathBuf {
        job_dir.join("work")
    }
}

/// `job.json` in the work folder: what the command is told. `learning.trainer_job.v0`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainerJob {
    /// Always [`Self::SCHEMA_VERSION`].
    pub schema_version: String,
    /// The run.
    pub run_id: RunId,
    /// As the profile gives them.
    pub parameters: BTreeMap<String, Value>,
    /// The model's inputs, in this order.
    pub features: Vec<Feature>,
    /// What the codes of the categorical ones stand for.
    pub categories: Vec<FeatureCategories>,
    /// The seed of everything random.
    pub seed: u64,
    /// Threads to fit with.
    pub threads: u32,
    /// Parquet files beside this one.
    pub files: JobFiles,
    /// Rows in each file.
    pub rows: JobRows,
    /// At which the command is ended.
    pub limits: Limits,
}

impl TrainerJob {
    /// The version that this release writes.
    pub const SCHEMA_VERSION: &'static str = "learning.trainer_job.v0";
    /// Its name.
    pub const FILE: &'static str = "job.json";
}

/// Parquet files by what they are for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobFiles {
    /// Rows to fit on.
    pub train: String,
    /// Rows to stop or tune on.
    pub validation: Option<String>,
    /// Rows to score, without labels.
    pub score: String,
}

impl JobFiles {
    /// Rows to fit on.
    pub const TRAIN: &'static str = "train.parquet";
    /// Rows to stop or tune on.
    pub const VALIDATION: &'static str = "validation.parquet";
    /// Rows to score.
    pub const SCORE: &'static str = "score.parquet";
}

/// Rows in each file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobRows {
    /// In `train.parquet`.
    pub train: u64,
    /// In `validation.parquet`.
    pub validation: u64,
    /// In `score.parquet`.
    pub score: u64,
}

/// `result.json` in the work folder: what the command left. `learning.trainer_result.v0`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainerResult {
    /// Always [`Self::SCHEMA_VERSION`].
    pub schema_version: String,
    /// The fitted model.
    pub model: SavedModel,
}

impl TrainerResult {
    /// The version that this release reads.
    pub const SCHEMA_VERSION: &'static str = "learning.trainer_result.v0";
    /// Its name.
    pub const FILE: &'static str = "result.json";
    /// Where the command's scores stand.
    pub const SCORES: &'static str = "scores.parquet";
}

/// A fitted model as a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedModel {
    /// How it is saved.
    pub format: ModelFormat,
    /// Where, below the work folder.
    pub path: String,
}

/// `accepted.json` in the job directory: what Model Factory took from the command, in its own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptedModel {
    /// How the model is saved; its file has this format's name.
    pub format: ModelFormat,
}

impl AcceptedModel {
    /// Its name in the job directory.
    pub const FILE: &'static str = "accepted.json";
}
