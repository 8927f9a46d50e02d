//! Packs the deployable bundle, a folder named by its content, and writes its announcement.

use super::bom::{BOM_FILE, bom};
use super::mlmodel::{EXAMPLE_FILE, PYFUNC, PYFUNC_FILE, input_example, mlmodel};
use super::model_card::{CARD_FILE, CardSources, model_card};
use super::provenance::{PROVENANCE_FILE, provenance};
use super::python_environment::{
    CONDA_FILE, REQUIREMENTS_FILE, VIRTUALENV_FILE, conda_yaml, requirements_txt, virtualenv_yaml,
};
use crate::domain::contract::{
    BundleArtifact, BundleLineage, BundleManifest, BundlePublication, Compatibility, DecisionReport, EvalReport,
    EvidenceRef, GateReceipt, ModelFormat, ParityVectors, PublicationProvenance, Revisions, TrainPlan,
};
use crate::domain::identity::{Digest, canonical_json, document_bytes, recipe_digest};
use serde_json::json;

/// The file name of the signature in the bundle's folder. The signature covers every other file, including those that
/// list the bundle's files. No such list can contain the signature's digest, because the signature is made afterwards.
pub const SIGNATURE_FILE: &str = "model.sig";

/// A file of the bundle, with its content in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleFile {
    /// The path relative to the bundle's folder.
    pub path: &'static str,
    pub media_type: &'static str,
    pub bytes: Vec<u8>,
}

impl BundleFile {
    pub fn artifact(&self) -> BundleArtifact {
        BundleArtifact {
            path: self.path.to_owned(),
            sha256: Digest::of(&self.bytes),
            bytes: self.bytes.len() as u64,
            media_type: self.media_type.to_owned(),
        }
    }
}

/// Computes a bundle's id: the SHA-256 of the canonical JSON of `[[path, digest], …]`, sorted by path. Every file
/// except the signature has an entry.
pub fn bundle_id(artifacts: &[BundleArtifact]) -> Digest {
    let mut entries: Vec<(&str, Digest)> = artifacts
        .iter()
        .filter(|file| file.path != SIGNATURE_FILE)
        .map(|file| (file.path.as_str(), file.sha256))
        .collect();
    entries.sort_unstable();
    Digest::of(canonical_json(&json!(entries)).as_bytes())
}

/// Computes a bundle's version: `v0-` and 12 hex digits. The digits begin a digest of bundle id, policy revision and
/// config revision.
pub fn bundle_version(bundle_id: &Digest, revisions: &Revisions) -> String {
    let payload = json!({
        "bundle_id": bundle_id,
        "config_revision": revisions.config_revision,
        "policy_revision": revisions.policy_revision,
    });
    format!("v0-{}", &recipe_digest("mf.bundle_version.v1", &payload).to_string()[..12])
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    pub bundle_id: Digest,
    pub bundle_version: String,
    /// The content of `bundle.json`, which is also the first of `files`.
    pub manifest: BundleManifest,
    /// Every file except the signature. `bundle.json` comes first, then the others sorted by path.
    pub files: Vec<BundleFile>,
}

/// The evidence that a bundle is packed from, each document as a value and as bytes. The bundle holds the bytes exactly
/// as the evidence store has them. Files for people and other tools are written from the values.
#[derive(Debug, Clone, Copy)]
pub struct BundleEvidence<'a> {
    pub plan: (&'a TrainPlan, &'a [u8]),
    pub report: (&'a EvalReport, &'a [u8]),
    /// `None` if an earlier release trained the model.
    pub decision: Option<(&'a DecisionReport, &'a [u8])>,
    pub receipt: (&'a GateReceipt, &'a [u8]),
    pub parity: (&'a ParityVectors, &'a [u8]),
    pub model: (ModelFormat, &'a [u8]),
}

/// Packs a bundle. The result depends on no clock, host or random number: the same evidence gives the same id on any
/// machine.
pub fn bundle(evidence: &BundleEvidence<'_>) -> Bundle {
    const JSON: &str = "application/json";
    const YAML: &str = "application/yaml";
    let BundleEvidence {
        plan: (plan, plan_bytes),
        report: (report, report_bytes),
        decision,
        receipt: (receipt, receipt_bytes),
        parity: (parity, parity_bytes),
        model: (format, model),
    } = *evidence;
    let model_digest = Digest::of(model);
    let card = model_card(&CardSources { plan, report, receipt, model: &model_digest, format });
    let bill = document_bytes(&bom(plan, report, &model_digest, format));
    let mlmodel = mlmodel(plan, decision.map(|(decision, _)| decision), &model_digest, format);
    let example = document_bytes(&input_example(parity));
    let mut files = vec![
        BundleFile { path: "eval_report.json", media_type: JSON, bytes: report_bytes.to_vec() },
        BundleFile { path: "gate_receipt.json", media_type: JSON, bytes: receipt_bytes.to_vec() },
        BundleFile { path: format.file_name(), media_type: format.media_type(), bytes: model.to_vec() },
        BundleFile { path: ParityVectors::FILE, media_type: JSON, bytes: parity_bytes.to_vec() },
        BundleFile { path: "resolved_train_plan.json", media_type: JSON, bytes: plan_bytes.to_vec() },
    ];
    files.extend(decision.map(|(_, bytes)| BundleFile {
        path: DecisionReport::FILE,
        media_type: JSON,
        bytes: bytes.to_vec(),
    }));
    let statement = document_bytes(&provenance(plan, files.iter().map(BundleFile::artifact)));
    files.extend([
        BundleFile { path: "MLmodel", media_type: YAML, bytes: mlmodel.into_bytes() },
        BundleFile { path: BOM_FILE, media_type: "application/vnd.cyclonedx+json", bytes: bill },
        BundleFile { path: CONDA_FILE, media_type: YAML, bytes: conda_yaml(format).into_bytes() },
        BundleFile { path: EXAMPLE_FILE, media_type: JSON, bytes: example },
        BundleFile { path: CARD_FILE, media_type: "text/markdown", bytes: card.into_bytes() },
        BundleFile { path: PROVENANCE_FILE, media_type: "application/vnd.in-toto+json", bytes: statement },
        BundleFile { path: PYFUNC_FILE, media_type: "text/x-python", bytes: PYFUNC.into() },
        BundleFile { path: REQUIREMENTS_FILE, media_type: "text/plain", bytes: requirements_txt(format).into_bytes() },
        BundleFile { path: VIRTUALENV_FILE, media_type: YAML, bytes: virtualenv_yaml().into_bytes() },
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

/// The documents that an announcement names beside the bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnouncedDocuments {
    pub eval_report: EvidenceRef,
    pub gate_receipt: EvidenceRef,
    /// `None` if an earlier release trained the model.
    pub decision_report: Option<EvidenceRef>,
}

/// Builds the announcement of a bundle. The caller must already have stored all of the bundle's files under
/// `bundle_ref`.
pub fn publication(
    plan: &TrainPlan,
    bundle: &Bundle,
    bundle_ref: String,
    documents: AnnouncedDocuments,
) -> BundlePublication {
    BundlePublication {
        schema_version: BundlePublication::SCHEMA_VERSION.to_owned(),
        bundle_id: bundle.bundle_id,
        bundle_version: bundle.bundle_version.clone(),
        run_id: plan.run_id.clone(),
        dataset_manifest_refs: plan.manifests.iter().map(|manifest| manifest.reference.clone()).collect(),
        eval_report_ref: documents.eval_report,
        gate_receipt_ref: documents.gate_receipt,
        decision_report_ref: documents.decision_report,
        compatibility: bundle.manifest.compatibility.clone(),
        governance_profile: Some(plan.governance_profile.at()),
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
