//! What Model Factory and a registered trainer command exchange, as files in the command's work folder.

use super::{Feature, FeatureCategories, Limits};
use crate::domain::identity::RunId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// `job.json`: what the command reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainerJob {
    pub schema_version: String,
    pub run_id: RunId,
    pub parameters: BTreeMap<String, Value>,
    /// The model's inputs, in this order.
    pub features: Vec<Feature>,
    /// What the codes of the categorical inputs stand for.
    pub categories: Vec<FeatureCategories>,
    pub seed: u64,
    pub threads: u32,
    pub files: JobFiles,
    pub rows: JobRows,
    /// The worker ends the command at these.
    pub limits: Limits,
}

impl TrainerJob {
    pub const SCHEMA_VERSION: &'static str = "learning.trainer_job.v0";
    pub const FILE: &'static str = "job.json";
}

/// Parquet files beside the job, by what they are for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobFiles {
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobRows {
    pub train: u64,
    pub validation: u64,
    pub score: u64,
}

/// `result.json`: what the command leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainerResult {
    pub schema_version: String,
    pub model: SavedModel,
}

impl TrainerResult {
    pub const FILE: &'static str = "result.json";
    pub const SCORES: &'static str = "scores.parquet";
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedModel {
    pub format: ModelFormat,
    /// Below the work folder.
    pub path: String,
}

/// How a model is saved. What follows from it for files, serving and MLflow stands in `modelling`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ModelFormat {
    /// XGBoost's own JSON, which the built-in booster writes too.
    XgboostJson,
    /// scikit-learn objects as skops writes them: a zip of a schema and arrays, no code.
    Skops,
    Onnx,
    /// Python's pickle: runs code when it is loaded.
    Pickle,
}
