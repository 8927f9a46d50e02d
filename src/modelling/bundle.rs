//! The deployable package: a folder that real tools open, named by its content.

use super::bom::{BOM_FILE, bom};
use super::input_example::{EXAMPLE_FILE, input_example};
use super::mlmodel::mlmodel;
use super::model_card::{CARD_FILE, CardSources, model_card};
use super::provenance::{PROVENANCE_FILE, provenance};
use crate::domain::contract::{
    BundleArtifact, BundleLineage, BundleManifest, Compatibility, EvalReport, GateReceipt, ModelFormat, ParityVectors,
    Revisions, TrainPlan,
};
use crate::domain::identity::{Digest, canonical_json, document_bytes, recipe_digest};
use serde_json::json;

/// The signature's name in the folder. It signs every other file, so that no list of files holds it.
pub const SIGNATURE_FILE: &str = "model.sig";

/// A file to be written into the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleFile {
    /// Relative to the folder.
    pub path: &'static str,
    /// Its media type.
    pub media_type: &'static str,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

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

/// The documents that go into a bundle as they stand in the evidence store.
#[derive(Debug, Clone)]
pub struct BundleContents {
    /// The model's file.
    pub model: Vec<u8>,
    /// How it is saved.
    pub model_format: ModelFormat,
    /// The evaluation report.
    pub eval_report: Vec<u8>,
    /// The gate's receipt.
    pub gate_receipt: Vec<u8>,
    /// The resolved train plan.
    pub plan: Vec<u8>,
    /// The parity vectors.
    pub parity_vectors: Vec<u8>,
}

/// The same documents, read: what the files for people and for other people's tools are written from.
#[derive(Debug, Clone, Copy)]
pub struct BundleDocuments<'a> {
    /// The resolved train plan.
    pub plan: &'a TrainPlan,
    /// The evaluation report.
    pub report: &'a EvalReport,
    /// The gate's receipt.
    pub receipt: &'a GateReceipt,
    /// The parity vectors.
    pub parity: &'a ParityVectors,
}

/// Packs a bundle. No clock, host or chance: the same run key gives the same id on another machine.
pub fn bundle(documents: &BundleDocuments<'_>, contents: BundleContents) -> Bundle {
    const JSON: &str = "application/json";
    let BundleDocuments { plan, report, receipt, parity } = *documents;
    let plan_digest = Digest::of(&contents.plan);
    let model_digest = Digest::of(&contents.model);
    let format = contents.model_format;
    let card = model_card(&CardSources { plan, report, receipt, model: &model_digest, format });
    let bill = document_bytes(&bom(plan, report, &model_digest, format));
    let example = document_bytes(&input_example(parity, &plan.features));
    let mut files = vec![
        BundleFile { path: "eval_report.json", media_type: JSON, bytes: contents.eval_report },
        BundleFile { path: "gate_receipt.json", media_type: JSON, bytes: contents.gate_receipt },
        BundleFile { path: format.file_name(), media_type: format.media_type(), bytes: contents.model },
        BundleFile { path: ParityVectors::FILE, media_type: JSON, bytes: contents.parity_vectors },
        BundleFile { path: "resolved_train_plan.json", media_type: JSON, bytes: contents.plan },
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
            run_config_digest: plan_digest,
            revisions: plan.revisions.clone(),
        },
        files: files.iter().map(BundleFile::artifact).collect(),
    };
    files.insert(0, BundleFile { path: BundleManifest::FILE, media_type: JSON, bytes: document_bytes(&manifest) });
    let artifacts: Vec<BundleArtifact> = files.iter().map(BundleFile::artifact).collect();
    let bundle_id = bundle_id(&artifacts);
    Bundle { bundle_id, bundle_version: bundle_version(&bundle_id, &plan.revisions), manifest, files }
}

impl BundleFile {
    /// Its entry in a list of files.
    pub fn artifact(&self) -> BundleArtifact {
        BundleArtifact {
            path: self.path.to_owned(),
            sha256: Digest::of(&self.bytes),
            bytes: self.bytes.len() as u64,
            media_type: self.media_type.to_owned(),
        }
    }
}

/// `sha256` over the canonical JSON of `[[path, digest], …]`, sorted by path, of every file but the
/// signature.
pub fn bundle_id(artifacts: &[BundleArtifact]) -> Digest {
    let mut entries: Vec<(&str, Digest)> = artifacts
        .iter()
        .filter(|file| file.path != SIGNATURE_FILE)
        .map(|file| (file.path.as_str(), file.sha256))
        .collect();
    entries.sort_unstable();
    Digest::of(canonical_json(&json!(entries)).as_bytes())
}

/// `v0-` and 12 hex digits of the digest of (bundle id, policy revision, config revision).
pub fn bundle_version(bundle_id: &Digest, revisions: &Revisions) -> String {
    let payload = json!({
        "bundle_id": bundle_id,
        "config_revision": revisions.config_revision,
        "policy_revision": revisions.policy_revision,
    });
    format!("v0-{}", &recipe_digest("mf.bundle_version.v1", &payload).to_string()[..12])
}
