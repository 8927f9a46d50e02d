//! `TrainingRecord`: what the trainer left, pinned, so that a later attempt need not train again.

use super::eval_report::{
    Confusion, Curves, DatasetSummary, Differences, FeatureEffect, Metrics, SettledSplit, SlicedBy,
};
use crate::domain::contract::ModelFormat;
use crate::domain::identity::Digest;
use serde::{Deserialize, Serialize};

/// `model/training_record.json`. It is written after the files that it names: where it stands, the trainer's work
/// is done.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingRecord {
    /// Always [`Self::SCHEMA_VERSION`].
    pub schema_version: String,
    pub resolved_train_plan: Digest,
    pub model_format: ModelFormat,
    pub model: Digest,
    pub scores: Digest,
    pub leakage_report: Digest,
    pub parity_vectors: Digest,
    pub evaluation: Evaluation,
}

impl TrainingRecord {
    /// The version that this release writes.
    pub const SCHEMA_VERSION: &'static str = "learning.training_record.v0";
    /// Its name in the folder of the model.
    pub const FILE: &'static str = "training_record.json";
}

/// What the trainer's child process measured. It holds no clock value and no path. Its fields are those of
/// [`super::eval_report::EvalMetrics`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    pub scores: Metrics,
    pub confusion: Vec<Confusion>,
    pub curves: Curves,
    pub slices: Vec<SlicedBy>,
    pub dataset: DatasetSummary,
    pub split: SettledSplit,
    pub rounds: Option<u32>,
    pub features: Vec<FeatureEffect>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub champion: Option<Differences>,
}
