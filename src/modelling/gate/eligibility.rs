//! Decides whether a verdict allows publication.

use crate::domain::contract::{Decision, Eligibility, EvidenceRef, GateReceipt, IntentKind, PublishEligibility};
use crate::domain::run::FailureCode;

/// The reasons against publication, `GATE_FAIL` and `INTENT_NOT_PUBLISHABLE`; empty where it is allowed.
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

/// Whether a requester allows publication is not in this document: a later request may change that, evidence never
/// changes.
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
