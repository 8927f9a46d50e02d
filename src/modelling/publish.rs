//! Whether a bundle may be announced, and its announcement.

use super::bundle::{Bundle, BundleFile};
use super::gate::ineligible_because;
use crate::domain::contract::{
    BundlePublication, EvalReport, EvidenceRef, GateReceipt, IntentKind, PublicationProvenance, SchemaName, TrainPlan,
    check,
};
use crate::domain::identity::{Digest, RunId, document_bytes};
use crate::domain::run::{Failure, FailureCode};

/// A run's verdict as it was read back from the evidence store.
#[derive(Debug, Clone, Copy)]
pub struct StoredVerdict<'a> {
    /// The run that is to be announced.
    pub run_id: &'a RunId,
    /// What kind of build it is.
    pub intent: IntentKind,
    /// Digest of its plan.
    pub plan: Digest,
    /// Digest of its model.
    pub model: Digest,
    /// Its evaluation report, with the digest of the bytes.
    pub report: (&'a EvalReport, Digest),
    /// Its receipt.
    pub receipt: &'a GateReceipt,
}

/// Checks that report and receipt are about exactly this plan and model, that they say the same, and that
/// it is a PASS of a run that may be published.
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

/// Checks an announcement against its schema, and against every earlier one of the same run: a run has one
/// bundle, which is announced with one content.
pub fn clear_announcement(publication: &BundlePublication, earlier: &[BundlePublication]) -> Result<(), Failure> {
    let value = serde_json::to_value(publication).expect("publications have string keys and finite numbers");
    check(SchemaName::BundlePublication, &value).map_err(|error| {
        Failure::new(FailureCode::BundlePublicationInvalid, format!("the announcement of the bundle: {error}"))
    })?;
    match earlier.iter().find(|earlier| *earlier != publication) {
        None => Ok(()),
        Some(other) => {
            let (id, version) = (other.bundle_id, &other.bundle_version);
            let message = format!("{} was announced before with other content, as {id} {version}", publication.run_id);
            Err(Failure::new(FailureCode::PublishConflict, message))
        }
    }
}

/// The announcement of a bundle that stands complete under `bundle_ref` in the evidence store.
pub fn publication(
    plan: &TrainPlan,
    bundle: &Bundle,
    bundle_ref: String,
    eval_report: EvidenceRef,
    gate_receipt: EvidenceRef,
) -> BundlePublication {
    BundlePublication {
        schema_version: BundlePublication::SCHEMA_VERSION.to_owned(),
        bundle_id: bundle.bundle_id,
        bundle_version: bundle.bundle_version.clone(),
        run_id: plan.run_id.clone(),
        dataset_manifest_refs: plan.manifests.iter().map(|manifest| manifest.reference.clone()).collect(),
        eval_report_ref: eval_report,
        gate_receipt_ref: gate_receipt,
        compatibility: bundle.manifest.compatibility.clone(),
        provenance: PublicationProvenance {
            mf_code_release_id: plan.revisions.mf_code_release_id.clone(),
            config_revision: plan.revisions.config_revision.clone(),
            policy_revision: plan.revisions.policy_revision.clone(),
            run_config_digest: bundle.manifest.lineage.run_config_digest,
        },
        scope_key: plan.target_scope.scope_key(),
        bundle_ref,
        bundle_digest: Digest::of(&document_bytes(&bundle.manifest)),
        artifacts: bundle.files.iter().map(BundleFile::artifact).collect(),
    }
}
