//! Builds the documents of the gate: the evaluation report and the gate receipt.

use super::judge::judge;
use crate::domain::contract::{
    DecisionReport, DifferenceVerdict, EvalMetrics, EvalProvenance, EvalReport, Evaluation, EvidenceRef, GateReceipt,
    GovernanceProfile, ProfileRef, RatioVerdict, SliceVerdict, TrainPlan,
};
use crate::domain::identity::{Digest, RunId, recipe_digest};
use crate::domain::run::{Failure, FailureCode};
use serde_json::json;

/// Builds the evaluation report from what the trainer's child process measured. Its decision is PASS or FAIL by the
/// profile's thresholds.
pub fn report(
    plan: &TrainPlan,
    evaluation: Evaluation,
    decision: Option<&DecisionReport>,
    profile: &GovernanceProfile,
    provenance: EvalProvenance,
) -> Result<EvalReport, Failure> {
    let metrics = EvalMetrics {
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
        feature_findings: evaluation.feature_findings,
        choice: evaluation.choice,
        champion: evaluation.champion,
    };
    Ok(EvalReport {
        schema_version: EvalReport::SCHEMA_VERSION.to_owned(),
        eval_report_id: eval_report_id(&plan.run_id, &provenance.model.sha256),
        run_id: plan.run_id.clone(),
        dataset_manifest_refs: plan.manifests.iter().map(|manifest| manifest.reference.clone()).collect(),
        gate_decision: judge(&metrics, decision, profile)?.decision,
        metrics,
        provenance,
    })
}

/// Derives a report's id, `er_` and 32 hex digits, from the run and the model.
pub fn eval_report_id(run_id: &RunId, model: &Digest) -> String {
    let digest = recipe_digest("mf.eval_report_id.v1", &json!({"model": model, "run_id": run_id}));
    format!("er_{}", &digest.to_string()[..32])
}

/// Judges the stored reports again, by this profile, and builds the receipt. `inputs` are the request's documents and data
/// files by role.
/// Returns the failure `GATE_DECISION_MISMATCH` if the report's metrics give another decision than the report states.
pub fn gate(
    run_id: &RunId,
    (report, report_at): (&EvalReport, &EvidenceRef),
    decision: Option<&DecisionReport>,
    (profile, profile_at): (&GovernanceProfile, ProfileRef),
    inputs: impl IntoIterator<Item = (String, EvidenceRef)>,
) -> Result<GateReceipt, Failure> {
    if &report.run_id != run_id {
        let message = format!("the evaluation report belongs to {}, not to {run_id}", report.run_id);
        return Err(Failure::new(FailureCode::EvalReportMismatch, message));
    }
    let verdict = judge(&report.metrics, decision, profile)?;
    if verdict.decision != report.gate_decision {
        let message = format!("the report says {:?}, its metrics say {:?}", report.gate_decision, verdict.decision);
        return Err(Failure::new(FailureCode::GateDecisionMismatch, message));
    }
    let mut failed: Vec<String> = verdict.thresholds.iter().filter(|v| !v.holds).map(|v| v.threshold.clone()).collect();
    if !verdict.positives.holds {
        failed.push("min_positives".to_owned());
    }
    let compared = verdict.champion.iter().flat_map(|champion| &champion.differences);
    failed.extend(compared.filter(|difference| !difference.holds).map(DifferenceVerdict::name));
    failed.extend(verdict.slices.iter().filter(|slices| !slices.holds).map(SliceVerdict::name));
    failed.extend(verdict.ratio.iter().filter(|ratio| !ratio.holds).map(RatioVerdict::name));
    let decided = report.provenance.decision_report.iter().map(|at| ("decision_report", at));
    let documents = [
        ("eval_report", report_at),
        ("leakage_report", &report.provenance.leakage_report),
        ("model", &report.provenance.model),
        ("resolved_train_plan", &report.provenance.resolved_train_plan),
        ("scores", &report.provenance.scores),
    ];
    Ok(GateReceipt {
        schema_version: GateReceipt::SCHEMA_VERSION.to_owned(),
        run_id: run_id.clone(),
        decision: verdict.decision,
        thresholds: verdict.thresholds,
        min_positives: verdict.positives,
        champion: verdict.champion,
        slices: verdict.slices,
        ratio: verdict.ratio,
        failed,
        looked_at: documents
            .into_iter()
            .chain(decided)
            .map(|(role, at)| (role.to_owned(), at.clone()))
            .chain(inputs)
            .collect(),
        governance_profile: Some(profile_at),
        policy_id: profile.policy_id.clone(),
        policy_revision: profile.revision.clone(),
    })
}
