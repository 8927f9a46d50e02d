//! `TrainerJob`: what a registered trainer command reads.

use crate::domain::contract::{Feature, FeatureCategories, Limits};
use crate::domain::identity::RunId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// `job.json` in the work folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainerJob {
    /// Always [`Self::SCHEMA_VERSION`].
    pub schema_version: String,
    pub run_id: RunId,
    /// As the profile gives them.
    pub parameters: BTreeMap<String, Value>,
    /// The model's inputs, in this order.
    pub features: Vec<Feature>,
    /// What the codes of the categorical inputs stand for.
    pub categories: Vec<FeatureCategories>,
    /// Seeds everything random.
    pub seed: u64,
    /// Threads to fit with.
    pub threads: u32,
    pub files: JobFiles,
    pub rows: JobRows,
    /// The worker ends the command at these.
    pub limits: Limits,
}

impl TrainerJob {
    /// The version that this release writes.
    pub const SCHEMA_VERSION: &'static str = "learning.trainer_job.v0";
    pub const FILE: &'static str = "job.json";
}

/// Parquet files beside the job, by what they are for.
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
    pub const TRAIN: &'static str = "train.parquet";
    pub const VALIDATION: &'static str = "validation.parquet";
    pub const SCORE: &'static str = "score.parquet";
}

/// How many rows each file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobRows {
    pub train: u64,
    pub validation: u64,
    pub score: u64,
}
