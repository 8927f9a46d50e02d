//! The evaluation report: what was measured, on what, and what the gate will say.

use super::explanation::FeatureEffect;
use super::gate::{Decision, Judged, judge};
use super::metrics::{Confusion, Curves, Differences, Metrics, SlicedBy};
use super::plan::{Revisions, TrainPlan};
use super::split::SettledSplit;
use crate::domain::contract::{EvidenceRef, GovernanceProfile};
use crate::domain::identity::{Digest, RunId, recipe_digest};
use crate::domain::run::Failure;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// `learning.eval_report.v0`. No clock value inside: the same plan gives the same bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalReport {
    /// Always [`Self::SCHEMA_VERSION`].
    pub schema_version: String,
    /// Derived from run and model.
    pub eval_report_id: String,
    /// The run.
    pub run_id: RunId,
    /// What the rows come from.
    pub dataset_manifest_refs: Vec<String>,
    /// What the thresholds say of these metrics.
    pub gate_decision: Decision,
    /// What was measured, and how.
    pub metrics: EvalMetrics,
    /// What it rests on.
    pub provenance: EvalProvenance,
}

/// What was measured, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalMetrics {
    /// Metrics on the test window, by name.
    pub scores: Metrics,
    /// Counts at the profile's thresholds.
    pub confusion: Vec<Confusion>,
    /// Curves with bounded points.
    pub curves: Curves,
    /// The test window by the values of columns.
    pub slices: Vec<SlicedBy>,
    /// Rows and frauds per window.
    pub dataset: DatasetSummary,
    /// The bounds of the profile's thresholds, by name.
    pub thresholds: BTreeMap<String, f64>,
    /// The split, every boundary settled.
    pub split: SettledSplit,
    /// The seed.
    pub seed: u64,
    /// Nothing known later is in the labels.
    pub label_asof_utc: DateTime<Utc>,
    /// Trees in the model, where Model Factory fitted it.
    pub rounds: Option<u32>,
    /// What every feature does in the model; empty where a registered command fitted it.
    pub features: Vec<FeatureEffect>,
    /// The model less the champion on the same rows; left out where there is no champion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub champion: Option<Differences>,
}

/// Rows and frauds per window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetSummary {
    /// Rows in the files.
    pub rows: u64,
    /// Rows outside every window.
    pub unused_rows: u64,
    /// Rows of the test window that belong to entities already known as fraud.
    pub excluded_rows: u64,
    /// Rows to fit on.
    pub train: WindowSummary,
    /// Rows for early stopping.
    pub validation: Option<WindowSummary>,
    /// Rows to measure on.
    pub test: WindowSummary,
}

/// A window's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowSummary {
    /// Rows.
    pub rows: u64,
    /// Frauds among them.
    pub positives: u64,
}

/// What the trainer's child process measured; it has no clock value and no path inside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Metrics on the test window, by name.
    pub scores: Metrics,
    /// Counts at the profile's thresholds.
    pub confusion: Vec<Confusion>,
    /// Curves with bounded points.
    pub curves: Curves,
    /// The test window by the values of columns.
    pub slices: Vec<SlicedBy>,
    /// Rows and frauds per window.
    pub dataset: DatasetSummary,
    /// The split, every boundary settled.
    pub split: SettledSplit,
    /// Trees in the model, where Model Factory fitted it.
    pub rounds: Option<u32>,
    /// What every feature does in the model; empty where a registered command fitted it.
    pub features: Vec<FeatureEffect>,
    /// The model less the champion on the same rows; left out where there is no champion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub champion: Option<Differences>,
}

/// What a report rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalProvenance {
    /// The plan.
    pub resolved_train_plan: EvidenceRef,
    /// The model that was measured.
    pub model: EvidenceRef,
    /// The scores that the metrics were computed from.
    pub scores: EvidenceRef,
    /// The leakage report.
    pub leakage_report: EvidenceRef,
    /// Pinned revisions of the request.
    pub revisions: Revisions,
}

impl EvalReport {
    /// The version that this release writes.
    pub const SCHEMA_VERSION: &'static str = "learning.eval_report.v0";
}

/// Writes the report over what the child measured.
pub fn report(
    plan: &TrainPlan,
    evaluation: Evaluation,
    profile: &GovernanceProfile,
    provenance: EvalProvenance,
) -> Result<EvalReport, Failure> {
    let judged = Judged {
        scores: &evaluation.scores,
        test_positives: evaluation.dataset.test.positives,
        champion: evaluation.champion.as_ref(),
    };
    let judgement = judge(&judged, profile)?;
    Ok(EvalReport {
        schema_version: EvalReport::SCHEMA_VERSION.to_owned(),
        eval_report_id: eval_report_id(&plan.run_id, &provenance.model.sha256),
        run_id: plan.run_id.clone(),
        dataset_manifest_refs: plan.manifests.iter().map(|manifest| manifest.reference.clone()).collect(),
        gate_decision: judgement.decision,
        metrics: EvalMetrics {
            scores: evaluation.scores,
            confusion: evaluation.confusion,
            curves: evaluation.curves,
            slices: evaluation.slices,
            dataset: evaluation.dataset,
            thresholds: profile.eval_thresholds.iter().map(|(name, spec)| (name.clone(), spec.bound())).collect(),
            split: evaluation.split,
            seed: plan.seed,
            label_asof_utc: plan.label_basis.label_asof_utc,
            rounds: evaluation.rounds,
            features: evaluation.features,
            champion: evaluation.champion,
        },
        provenance,
    })
}

/// The id of the report about this model.
pub fn eval_report_id(run_id: &RunId, model: &Digest) -> String {
    let digest = recipe_digest("mf.eval_report_id.v1", &json!({"model": model, "run_id": run_id}));
    format!("er_{}", &digest.to_string()[..32])
}
