//! Writes the gate's receipt.

use super::judge::{GateInput, judge};
use crate::domain::contract::{
    DifferenceVerdict, EvalProvenance, EvalReport, EvidenceRef, GateReceipt, GovernanceProfile,
};
use crate::domain::identity::RunId;
use crate::domain::run::{Failure, FailureCode};
use std::collections::BTreeMap;

/// Judges a stored report again and writes the receipt. A report whose own decision is not the one that its metrics
/// give is `GATE_DECISION_MISMATCH`. `inputs` are the request's documents and data by role.
pub fn gate(
    run_id: &RunId,
    report: &EvalReport,
    report_at: &EvidenceRef,
    profile: &GovernanceProfile,
    inputs: impl IntoIterator<Item = (String, EvidenceRef)>,
) -> Result<GateReceipt, Failure> {
    if &report.run_id != run_id {
        return Err(Failure::new(
            FailureCode::EvalReportMismatch,
            format!("the evaluation report belongs to {}, not to {run_id}", report.run_id),
        ));
    }
    let input = GateInput {
        scores: &report.metrics.scores,
        test_positives: report.metrics.dataset.test.positives,
        champion: report.metrics.champion.as_ref(),
    };
    let verdict = judge(&input, profile)?;
    if verdict.decision != report.gate_decision {
        return Err(Failure::new(
            FailureCode::GateDecisionMismatch,
            format!("the report says {:?}, its metrics say {:?}", report.gate_decision, verdict.decision),
        ));
    }
    let mut failed: Vec<String> = verdict.thresholds.iter().filter(|v| !v.holds).map(|v| v.threshold.clone()).collect();
    if !verdict.positives.holds {
        failed.push("min_positives".to_owned());
    }
    let compared = verdict.champion.iter().flat_map(|champion| &champion.differences);
    failed.extend(compared.filter(|difference| !difference.holds).map(DifferenceVerdict::name));
    Ok(GateReceipt {
        schema_version: GateReceipt::SCHEMA_VERSION.to_owned(),
        run_id: run_id.clone(),
        decision: verdict.decision,
        thresholds: verdict.thresholds,
        min_positives: verdict.positives,
        champion: verdict.champion,
        failed,
        looked_at: looked_at(&report.provenance, report_at, inputs),
        policy_id: profile.policy_id.clone(),
        policy_revision: profile.revision.clone(),
    })
}

fn looked_at(
    provenance: &EvalProvenance,
    report_at: &EvidenceRef,
    inputs: impl IntoIterator<Item = (String, EvidenceRef)>,
) -> BTreeMap<String, EvidenceRef> {
    let documents = [
        ("eval_report", report_at),
        ("leakage_report", &provenance.leakage_report),
        ("model", &provenance.model),
        ("resolved_train_plan", &provenance.resolved_train_plan),
        ("scores", &provenance.scores),
    ];
    documents.map(|(role, at)| (role.to_owned(), at.clone())).into_iter().chain(inputs).collect()
}
