//! Decides what a verdict allows: whether a bundle may be published, and whether its announcement may be sent.

use crate::domain::contract::{
    BundlePublication, Decision, Eligibility, EvalReport, EvidenceRef, GateReceipt, IntentKind, PublishEligibility,
    SchemaName, check,
};
use crate::domain::identity::{Digest, RunId};
use crate::domain::run::{Failure, FailureCode};

/// Returns the reasons against publication: `GATE_FAIL`, `INTENT_NOT_PUBLISHABLE`, or both. An empty list allows
/// publication.
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

/// Builds the document that says whether gate and intent allow publication. It does not say whether the requester may
/// publish: a later request can change that, and evidence never changes.
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

/// A run's verdict as the worker reads it back from the evidence store.
#[derive(Debug, Clone, Copy)]
pub struct StoredVerdict<'a> {
    pub run_id: &'a RunId,
    pub intent: IntentKind,
    pub plan: Digest,
    pub model: Digest,
    /// The evaluation report, and the digest of its bytes.
    pub report: (&'a EvalReport, Digest),
    pub receipt: &'a GateReceipt,
}

/// Checks that report and receipt are about this plan and model, and that both give the decision PASS. Also checks that
/// the intent is publishable. The failure code says which check did not hold.
pub fn clear_for_publication(verdict: &StoredVerdict<'_>) -> Result<(), Failure> {
    let StoredVerdict { run_id, intent, plan, model, report: (report, report_digest), receipt } = *verdict;
    let fail = |code, message: String| Err(Failure::new(code, message));
    let (of_plan, of_model) = (report.provenance.resolved_train_plan.sha256, report.provenance.model.sha256);
    if &report.run_id != run_id || of_plan != plan || of_model != model {
        let found = &report.run_id;
        let message = format!(
            "the evaluation report is about {found}, plan {of_plan}, model {of_model}; the run is {run_id}, plan {plan}, model {model}"
        );
        return fail(FailureCode::EvalReportMismatch, message);
    }
    let looked_at = receipt.looked_at.get("eval_report").map(|at| at.sha256);
    if &receipt.run_id != run_id || looked_at != Some(report_digest) {
        let message = format!("the gate's receipt is not about the evaluation report {report_digest} of {run_id}");
        return fail(FailureCode::GateDecisionMismatch, message);
    }
    if receipt.decision != report.gate_decision {
        let (receipt, report) = (receipt.decision, report.gate_decision);
        let message = format!("the gate's receipt says {receipt:?}, the evaluation report says {report:?}");
        return fail(FailureCode::GateDecisionMismatch, message);
    }
    match ineligible_because(receipt, intent).as_slice() {
        [] => Ok(()),
        reasons => fail(FailureCode::PublishNotEligible, format!("{run_id}: {}", reasons.join(", "))),
    }
}

/// Checks an announcement against its schema and against every earlier announcement of the run. A run announces one
/// bundle, always with the same content. Other content is the failure `PUBLISH_CONFLICT`.
pub fn clear_announcement(publication: &BundlePublication, earlier: &[BundlePublication]) -> Result<(), Failure> {
    let value = serde_json::to_value(publication).expect("publications have string keys and finite numbers");
    check(SchemaName::BundlePublication, &value).map_err(|error| {
        Failure::new(FailureCode::BundlePublicationInvalid, format!("the announcement of the bundle: {error}"))
    })?;
    match earlier.iter().find(|earlier| !earlier.says_the_same_as(publication)) {
        None => Ok(()),
        Some(other) => {
            let (id, version) = (other.bundle_id, &other.bundle_version);
            let message = format!("{} was announced before with other content, as {id} {version}", publication.run_id);
            Err(Failure::new(FailureCode::PublishConflict, message))
        }
    }
}
