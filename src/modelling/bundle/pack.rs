//! Packs the deployable bundle: a folder that real tools open, named by its content.

use super::bom::{BOM_FILE, bom};
use super::files::{BundleFile, bundle_id, bundle_version};
use super::input_example::{EXAMPLE_FILE, input_example};
use super::mlmodel::mlmodel;
use super::model_card::{CARD_FILE, CardSources, model_card};
use super::provenance::{PROVENANCE_FILE, provenance};
use crate::domain::contract::{
    BundleArtifact, BundleLineage, BundleManifest, Compatibility, EvalReport, GateReceipt, ModelFormat, ParityVectors,
    TrainPlan,
};
use crate::domain::identity::{Digest, document_bytes};

/// A complete bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// Digest over the canonical list of (path, digest).
    pub bundle_id: Digest,
    /// `v0-` and 12 hex digits.
    pub bundle_version: String,
    /// The manifest; also the first of the files.
    pub manifest: BundleManifest,
    /// Every file, `bundle.json` first.
    pub files: Vec<BundleFile>,
}

/// The evidence that a bundle is packed from. Documents go in with the bytes that stand in the evidence store; the
/// files for people and for other tools are written from what the documents say.
#[derive(Debug, Clone, Copy)]
pub struct BundleEvidence<'a> {
    pub plan: (&'a TrainPlan, &'a [u8]),
    pub report: (&'a EvalReport, &'a [u8]),
    pub receipt: (&'a GateReceipt, &'a [u8]),
    pub parity: (&'a ParityVectors, &'a [u8]),
    pub model: (ModelFormat, &'a [u8]),
}

/// Packs a bundle. It depends on no clock, host or chance: the same evidence gives the same id on any machine.
pub fn bundle(evidence: &BundleEvidence<'_>) -> Bundle {
    const JSON: &str = "application/json";
    let BundleEvidence {
        plan: (plan, plan_bytes),
        report: (report, report_bytes),
        receipt: (receipt, receipt_bytes),
        parity: (parity, parity_bytes),
        model: (format, model),
    } = *evidence;
    let model_digest = Digest::of(model);
    let card = model_card(&CardSources { plan, report, receipt, model: &model_digest, format });
    let bill = document_bytes(&bom(plan, report, &model_digest, format));
    let example = document_bytes(&input_example(parity, &plan.features));
    let mut files = vec![
        BundleFile { path: "eval_report.json", media_type: JSON, bytes: report_bytes.to_vec() },
        BundleFile { path: "gate_receipt.json", media_type: JSON, bytes: receipt_bytes.to_vec() },
        BundleFile { path: format.file_name(), media_type: format.media_type(), bytes: model.to_vec() },
        BundleFile { path: ParityVectors::FILE, media_type: JSON, bytes: parity_bytes.to_vec() },
        BundleFile { path: "resolved_train_plan.json", media_type: JSON, bytes: plan_bytes.to_vec() },
    ];
    let statement = document_bytes(&provenance(plan, &files));
    files.extend([
        BundleFile {
            path: "MLmodel",
            media_type: "application/yaml",
            bytes: mlmodel(plan, &model_digest, format).into_bytes(),
        },
        BundleFile { path: BOM_FILE, media_type: "application/vnd.cyclonedx+json", bytes: bill },
        BundleFile { path: EXAMPLE_FILE, media_type: JSON, bytes: example },
        BundleFile { path: CARD_FILE, media_type: "text/markdown", bytes: card.into_bytes() },
        BundleFile { path: PROVENANCE_FILE, media_type: "application/vnd.in-toto+json", bytes: statement },
    ]);
    files.sort_by_key(|file| file.path);
    let manifest = BundleManifest {
        schema_version: BundleManifest::SCHEMA_VERSION.to_owned(),
        run_id: plan.run_id.clone(),
        run_key: plan.run_key,
        target_scope: plan.target_scope.clone(),
        compatibility: Compatibility {
            feature_set_id: plan.feature_definition_set.feature_set_id.clone(),
            feature_set_version: plan.feature_definition_set.feature_set_version.clone(),
            input_contract_version: "v0".to_owned(),
            required_capabilities: vec![format.capability().to_owned()],
        },
        features: plan.features.clone(),
        lineage: BundleLineage {
            manifests: plan.manifests.clone(),
            data: plan.files.clone(),
            training_profile: plan.training_profile.clone(),
            governance_profile: plan.governance_profile.clone(),
            run_config_digest: Digest::of(plan_bytes),
            revisions: plan.revisions.clone(),
        },
        files: files.iter().map(BundleFile::artifact).collect(),
    };
    files.insert(0, BundleFile { path: BundleManifest::FILE, media_type: JSON, bytes: document_bytes(&manifest) });
    let artifacts: Vec<BundleArtifact> = files.iter().map(BundleFile::artifact).collect();
    let bundle_id = bundle_id(&artifacts);
    Bundle { bundle_id, bundle_version: bundle_version(&bundle_id, &plan.revisions), manifest, files }
}
