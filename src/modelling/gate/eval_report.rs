//! Writes the evaluation report.

use super::judge::{GateInput, judge};
use crate::domain::contract::{EvalMetrics, EvalProvenance, EvalReport, Evaluation, GovernanceProfile, TrainPlan};
use crate::domain::identity::{Digest, RunId, recipe_digest};
use crate::domain::run::Failure;
use serde_json::json;

/// The report on what the trainer's child process measured, with the decision that the thresholds give.
pub fn report(
    plan: &TrainPlan,
    evaluation: Evaluation,
    profile: &GovernanceProfile,
    provenance: EvalProvenance,
) -> Result<EvalReport, Failure> {
    let input = GateInput {
        scores: &evaluation.scores,
        test_positives: evaluation.dataset.test.positives,
        champion: evaluation.champion.as_ref(),
    };
    let verdict = judge(&input, profile)?;
    Ok(EvalReport {
        schema_version: EvalReport::SCHEMA_VERSION.to_owned(),
        eval_report_id: eval_report_id(&plan.run_id, &provenance.model.sha256),
        run_id: plan.run_id.clone(),
        dataset_manifest_refs: plan.manifests.iter().map(|manifest| manifest.reference.clone()).collect(),
        gate_decision: verdict.decision,
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

/// Derived from run and model: `er_` and 32 hex digits.
pub fn eval_report_id(run_id: &RunId, model: &Digest) -> String {
    let digest = recipe_digest("mf.eval_report_id.v1", &json!({"model": model, "run_id": run_id}));
    format!("er_{}", &digest.to_string()[..32])
}
