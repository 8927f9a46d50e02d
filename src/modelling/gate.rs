//! The verdict: thresholds over metrics, and what may be published.

use super::champion;
use super::thresholds::Threshold;
use crate::domain::contract::{
    ChampionVerdict, Decision, DifferenceVerdict, Differences, Eligibility, EvalProvenance, EvalReport, EvidenceRef,
    GateReceipt, GovernanceProfile, IntentKind, Metrics, PositivesVerdict, PublishEligibility, ThresholdVerdict,
};
use crate::domain::identity::RunId;
use crate::domain::run::{Failure, FailureCode};
use std::collections::BTreeMap;

/// What the thresholds say of the metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The decision.
    pub decision: Decision,
    /// Per threshold.
    pub verdicts: Vec<ThresholdVerdict>,
    /// Whether the test window holds enough frauds.
    pub positives: PositivesVerdict,
    /// The comparison with the champion, where the profile asks for one.
    pub champion: Option<ChampionVerdict>,
}

/// What was measured, as far as the gate looks at it.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a> {
    /// Metrics on the test window.
    pub scores: &'a Metrics,
    /// Frauds in the test window.
    pub test_positives: u64,
    /// The model less the champion, where they were compared.
    pub champion: Option<&'a Differences>,
}

/// Compares what was measured with a profile. PASS only if every threshold holds, there are enough frauds,
/// and the model is as good as the champion where there is one.
pub fn judge(judged: &Judged<'_>, profile: &GovernanceProfile) -> Result<Judgement, Failure> {
    let invalid = |why| Failure::new(FailureCode::GovernanceProfileInvalid, why);
    let thresholds = Threshold::all_of(profile).map_err(invalid)?;
    let verdicts: Vec<ThresholdVerdict> = thresholds.iter().map(|threshold| threshold.judge(judged.scores)).collect();
    let positives = PositivesVerdict {
        required: profile.min_positives,
        found: judged.test_positives,
        holds: judged.test_positives >= profile.min_positives,
    };
    let compare = |spec| champion::judge(spec, judged.champion).map_err(invalid);
    let champion = profile.champion.as_ref().map(compare).transpose()?;
    let passes = positives.holds
        && verdicts.iter().all(|verdict| verdict.holds)
        && champion.iter().flat_map(|champion| &champion.differences).all(|verdict| verdict.holds);
    let decision = if passes { Decision::Pass } else { Decision::Fail };
    Ok(Judgement { decision, verdicts, positives, champion })
}

/// Writes the receipt over a stored report. The report's own decision must be the one that its
/// metrics give: else `GATE_DECISION_MISMATCH`. `inputs` are what was asked for and of which data, by role.
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
    let judged = Judged {
        scores: &report.metrics.scores,
        test_positives: report.metrics.dataset.test.positives,
        champion: report.metrics.champion.as_ref(),
    };
    let judgement = judge(&judged, profile)?;
    if judgement.decision != report.gate_decision {
        return Err(Failure::new(
            FailureCode::GateDecisionMismatch,
            format!("the report says {:?}, its metrics say {:?}", report.gate_decision, judgement.decision),
        ));
    }
    let mut failed: Vec<String> = judgement.verdicts.iter().filter(|v| !v.holds).map(|v| v.threshold.clone()).collect();
    if !judgement.positives.holds {
        failed.push("min_positives".to_owned());
    }
    let compared = judgement.champion.iter().flat_map(|champion| &champion.differences);
    failed.extend(compared.filter(|verdict| !verdict.holds).map(DifferenceVerdict::name));
    Ok(GateReceipt {
        schema_version: GateReceipt::SCHEMA_VERSION.to_owned(),
        run_id: run_id.clone(),
        decision: judgement.decision,
        thresholds: judgement.verdicts,
        min_positives: judgement.positives,
        champion: judgement.champion,
        failed,
        looked_at: looked_at(&report.provenance, report_at, inputs),
        policy_id: profile.policy_id.clone(),
        policy_revision: profile.revision.clone(),
    })
}

/// Everything that the verdict rests on, by role.
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

/// Why a bundle may not be published: `GATE_FAIL`, `INTENT_NOT_PUBLISHABLE`; nothing where it may.
pub(super) fn ineligible_because(receipt: &GateReceipt, intent: IntentKind) -> Vec<String> {
    let mut reasons = Vec::new();
    if receipt.decision == Decision::Fail {
        reasons.push(FailureCode::GateFail.as_str().to_owned());
    }
    if !intent.is_publishable() {
        reasons.push("INTENT_NOT_PUBLISHABLE".to_owned());
    }
    reasons
}

/// What follows from receipt and intent.
pub fn eligibility(receipt: &GateReceipt, receipt_ref: EvidenceRef, intent: IntentKind) -> PublishEligibility {
    let reasons = ineligible_because(receipt, intent);
    PublishEligibility {
        schema_version: PublishEligibility::SCHEMA_VERSION.to_owned(),
        run_id: receipt.run_id.clone(),
        eligibility: if reasons.is_empty() { Eligibility::Eligible } else { Eligibility::Ineligible },
        reasons,
        gate_receipt: receipt_ref,
    }
}
