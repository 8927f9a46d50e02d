//! The files that Model Factory and a registered trainer command exchange in the command's work folder.

use super::{Feature, FeatureCategories, Limits};
use crate::domain::identity::RunId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// `job.json`: Model Factory writes it, the command reads it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainerJob {
    pub schema_version: String,
    pub run_id: RunId,
    pub parameters: BTreeMap<String, Value>,
    /// The model's inputs, in the order in which it takes them.
    pub features: Vec<Feature>,
    /// Values of the categorical inputs. The code of a value is its index.
    pub categories: Vec<FeatureCategories>,
    pub seed: u64,
    pub threads: u32,
    pub files: JobFiles,
    pub rows: JobRows,
    /// Bounds of the job. The command is ended when it exceeds its time, memory, files or processes; rows and categories are
    /// counted when the data is read.
    pub limits: Limits,
}

impl TrainerJob {
    pub const SCHEMA_VERSION: &'static str = "learning.trainer_job.v0";
    pub const FILE: &'static str = "job.json";
}

/// Names of the Parquet files in the work folder, one per purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobFiles {
    pub train: String,
    /// Rows for early stopping or tuning. `None` if the plan has no validation window.
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

/// `result.json` in the command's work folder: a registered command writes it, our child reads it. The `result.json` of
/// the job folder is another one: it says how the child's step ended.
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
    /// Path below the work folder.
    pub path: String,
}

/// File format of a model. `modelling` derives from it how the model is stored, served and described to MLflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ModelFormat {
    /// XGBoost's JSON. The built-in booster writes this format too.
    XgboostJson,
    /// scikit-learn objects in the skops format: a zip of a schema and arrays, without code.
    Skops,
    Onnx,
    /// Python's pickle, which runs code when it is loaded.
    Pickle,
}
