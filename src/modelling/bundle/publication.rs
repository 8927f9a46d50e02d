//! Writes the announcement of a bundle.

use super::files::BundleFile;
use super::pack::Bundle;
use crate::domain::contract::{BundlePublication, EvidenceRef, PublicationProvenance, TrainPlan};
use crate::domain::identity::{Digest, document_bytes};

/// The announcement of a bundle. All its files must already be under `bundle_ref` in the evidence store.
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
