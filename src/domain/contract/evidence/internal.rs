//! Documents without a schema, which only Model Factory reads: the record of an attempt, the record of its training,
//! the evidence pack, and the marker `_COMPLETE`.

use super::eval_report::{
    Choice, Confusion, Curves, DatasetSummary, Differences, FeatureEffect, FeatureFinding, Metrics, SettledSplit,
    SlicedBy,
};
use crate::domain::contract::{EventRefs, EvidenceRef, Limits, ModelFormat};
use crate::domain::identity::{Digest, RunId};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// `attempts/<fence>.json`: where and when an attempt ran. The only evidence document with clock values.
#[derive(Serialize)]
pub struct AttemptRecord<'a> {
    pub schema_version: &'static str,
    pub run_id: &'a RunId,
    pub attempt: u32,
    pub fence: i64,
    pub worker: &'a str,
    pub build: &'static str,
    pub started_at_utc: DateTime<Utc>,
    pub ended_at_utc: DateTime<Utc>,
    /// `PASS` or a failure code.
    pub ended_with: &'a str,
    /// Limits of the trainer. `None` if the attempt ended before its trainer started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trainer: Option<&'a GrantedLimits>,
}

impl AttemptRecord<'_> {
    pub const SCHEMA_VERSION: &'static str = "learning.attempt_record.v0";
}

/// Resources that an attempt's trainer may use. The profile asks for them. Operator and machine bound them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GrantedLimits {
    pub limits: Limits,
    pub threads: u32,
}

/// `model/training_record.json`: digests of the trainer's files, so that a later attempt need not train again. It is
/// written after these files. If it exists, training is complete.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingRecord {
    pub schema_version: String,
    pub resolved_train_plan: Digest,
    pub model_format: ModelFormat,
    pub model: Digest,
    pub scores: Digest,
    pub leakage_report: Digest,
    pub parity_vectors: Digest,
    /// `None` in records of earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision_report: Option<Digest>,
    pub evaluation: Evaluation,
}

impl TrainingRecord {
    pub const SCHEMA_VERSION: &'static str = "learning.training_record.v0";
    pub const FILE: &'static str = "training_record.json";
}

/// What the trainer's child process measured, without clock values or paths. The fields mean the same as in
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub feature_findings: Vec<FeatureFinding>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<Choice>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub champion: Option<Differences>,
}

/// `evidence/evidence_pack.json`: lists the documents of a run up to its verdict, each by its role and with its digest.
#[derive(Serialize)]
pub struct EvidencePack<'a> {
    pub schema_version: &'static str,
    pub run_id: &'a RunId,
    pub documents: &'a EventRefs,
}

impl EvidencePack<'_> {
    pub const SCHEMA_VERSION: &'static str = "learning.evidence_pack.v0";
}

/// `_COMPLETE`: the last document of a run up to its verdict. Only the publish receipt comes later.
#[derive(Serialize)]
pub struct CompleteMarker<'a> {
    pub evidence_pack: &'a EvidenceRef,
}
