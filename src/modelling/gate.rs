//! The verdict: thresholds over metrics, and what may be published.

use super::champion::{self, ChampionVerdict, DifferenceVerdict};
use super::evaluate::{EvalProvenance, EvalReport};
use super::metrics::{Differences, Metrics};
use super::thresholds::{Threshold, Verdict};
use crate::domain::contract::{EvidenceRef, GovernanceProfile, IntentKind};
use crate::domain::identity::RunId;
use crate::domain::run::{Failure, FailureCode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// PASS or FAIL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Decision {
    /// Every threshold holds.
    Pass,
    /// At least one does not.
    Fail,
}

/// What the thresholds say of the metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The decision.
    pub decision: Decision,
    /// Per threshold.
    pub verdicts: Vec<Verdict>,
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

/// Whether the test window holds enough frauds to trust the metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PositivesVerdict {
    /// Fewest frauds by the profile.
    pub required: u64,
    /// Frauds in the test window.
    pub found: u64,
    /// Whether it holds.
    pub holds: bool,
}

/// The gate's receipt, `learning.gate_receipt.v0`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateReceipt {
    /// Always [`Self::SCHEMA_VERSION`].
    pub schema_version: String,
    /// The run.
    pub run_id: RunId,
    /// The decision.
    pub decision: Decision,
    /// Per threshold.
    pub thresholds: Vec<Verdict>,
    /// Whether the test window holds enough frauds.
    pub min_positives: PositivesVerdict,
    /// The comparison with the champion; left out where the profile asks for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub champion: Option<ChampionVerdict>,
    /// Conditions that do not hold, by name.
    pub failed: Vec<String>,
    /// Everything that was looked at, by role.
    pub looked_at: BTreeMap<String, EvidenceRef>,
    /// The governance policy.
    pub policy_id: String,
    /// Its revision.
    pub policy_revision: String,
}

impl GateReceipt {
    /// The version that this release writes.
    pub const SCHEMA_VERSION: &'static str = "learning.gate_receipt.v0";
}

/// Whether the run's bundle may be published at all, `learning.publish_eligibility.v0`. Whether a
/// requester allows it is not in here: that may change with a later request, evidence may not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishEligibility {
    /// Always [`Self::SCHEMA_VERSION`].
    pub schema_version: String,
    /// The run.
    pub run_id: RunId,
    /// The answer.
    pub eligibility: Eligibility,
    /// Why not: `GATE_FAIL`, `INTENT_NOT_PUBLISHABLE`.
    pub reasons: Vec<String>,
    /// The receipt that it rests on.
    pub gate_receipt: EvidenceRef,
}

impl PublishEligibility {
    /// The version that this release writes.
    pub const SCHEMA_VERSION: &'static str = "learning.publish_eligibility.v0";
}

/// Whether a bundle may be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Eligibility {
    /// It may.
    Eligible,
    /// It may not.
    Ineligible,
}

/// Compares what was measured with a profile. PASS only if every threshold holds, there are enough frauds,
/// and the model is as good as the champion where there is one.
pub fn judge(judged: &Judged<'_>, profile: &GovernanceProfile) -> Result<Judgement, Failure> {
    let invalid = |why| Failure::new(FailureCode::GovernanceProfileInvalid, why);
    let thresholds = Threshold::all_of(profile).map_err(invalid)?;
    let verdicts: Vec<Verdict> = thresholds.iter().map(|threshold| threshold.judge(judged.scores)).collect();
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

impl GateReceipt {
    /// Conditions in all.
    pub fn conditions(&self) -> usize {
        self.thresholds.len() + 1 + self.champion.as_ref().map_or(0, |champion| champion.differences.len())
    }

    /// The failed thresholds in one sentence, those on a champion with their names.
    pub fn failure_message(&self) -> String {
        let mut reasons: Vec<String> = self.thresholds.iter().filter(|v| !v.holds).map(|v| v.reason.clone()).collect();
        if !self.min_positives.holds {
            let PositivesVerdict { required, found, .. } = self.min_positives;
            reasons.push(format!("the test window holds {found} frauds, required are {required}"));
        }
        let compared = self.champion.iter().flat_map(|champion| &champion.differences).filter(|v| !v.holds);
        reasons.extend(compared.map(|verdict| format!("{}: {}", verdict.name(), verdict.reason)));
        reasons.join("; ")
    }
}
