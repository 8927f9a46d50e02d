//! `TrainerResult`: what a registered trainer command leaves.

use serde::{Deserialize, Serialize};

/// `result.json` in the work folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainerResult {
    /// Always [`Self::SCHEMA_VERSION`].
    pub schema_version: String,
    pub model: SavedModel,
}

impl TrainerResult {
    /// The version that this release reads.
    pub const SCHEMA_VERSION: &'static str = "learning.trainer_result.v0";
    pub const FILE: &'static str = "result.json";
    /// The file with the command's scores.
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
