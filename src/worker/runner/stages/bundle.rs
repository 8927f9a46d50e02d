//! Bundle: packs the run's documents into the bundle's files, puts these into the evidence store, and signs them.

use super::evaluate::Reported;
use super::gate::Gated;
use super::resolve::Resolved;
use crate::domain::contract::{BundleArtifact, EvidenceRef, ModelFormat, ParityVectors, SchemaName, read_json};
use crate::domain::identity::Digest;
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::{self, Bundle, BundleEvidence, SIGNATURE_FILE};
use crate::worker::runner::attempt::RunAttempt;
use crate::worker::runner::evidence::StoredDocument;
use crate::worker::runner::outcome::Interrupted;
use bytes::Bytes;

/// A bundle as it stands in the store. `signature` is the file beside it; `None` if the bundle is not signed.
pub struct Packed {
    pub bundle: Bundle,
    pub signature: Option<BundleArtifact>,
}

pub(super) const SIGNATURE_ROLE: &str = "bundle/model.sig";

pub(super) fn signature_artifact(stored: &StoredDocument) -> BundleArtifact {
    BundleArtifact {
        path: SIGNATURE_FILE.to_owned(),
        sha256: stored.at.sha256,
        bytes: stored.bytes.len() as u64,
        media_type: "application/vnd.dev.sigstore.bundle.v0.3+json".to_owned(),
    }
}

impl RunAttempt<'_> {
    pub async fn bundle(&self, resolved: &Resolved, report: &Reported, gated: &Gated) -> Result<Packed, Interrupted> {
        let evidence = &self.evidence;
        let model = &report.report.provenance.model;
        let model_format = stored_format(model)?;
        let on_drift = FailureCode::TrainArtifactImmutabilityViolation;
        let path = evidence.folder.model(model_format.file_name());
        let model = evidence.verified("model", &path, model.sha256, on_drift).await?;
        let parity = evidence
            .refs()
            .get("parity_vectors")
            .map(|at| at.sha256)
            .ok_or_else(|| Failure::new(FailureCode::EvidenceRefMissing, "training left no parity vectors"))?;
        let path = evidence.folder.model(ParityVectors::FILE);
        let parity = evidence.verified("parity_vectors", &path, parity, on_drift).await?;
        let parsed_parity = read_parity(&parity)?;
        let bundle = modelling::bundle(&BundleEvidence {
            plan: (&resolved.plan, &resolved.stored.bytes),
            report: (&report.report, &report.stored.bytes),
            decision: report.decision.as_ref().map(|decision| (&decision.report, decision.stored.bytes.as_ref())),
            receipt: (&gated.receipt, &gated.stored.bytes),
            parity: (&parsed_parity, &parity.bytes),
            model: (model_format, &model.bytes),
        });
        for file in &bundle.files {
            let role = format!("bundle/{}", file.path);
            let bytes = Bytes::from(file.bytes.clone());
            let path = evidence.folder.bundle(file.path);
            evidence.bytes(&role, &path, bytes, FailureCode::BundlePackageImmutabilityViolation).await?;
        }
        let signature = self.sign(&bundle).await?;
        Ok(Packed { bundle, signature })
    }

    /// Signs all files with the worker's key; `None` without a key. If an earlier attempt signed with another key, the
    /// bytes of the signature differ, and the run fails.
    async fn sign(&self, bundle: &Bundle) -> Result<Option<BundleArtifact>, Interrupted> {
        let Some(key) = &self.runner.signing else { return Ok(None) };
        let files = bundle.files.iter().map(|file| (file.path.to_owned(), Digest::of(&file.bytes))).collect();
        let bytes = Bytes::from(key.sign(&bundle.bundle_version, &files));
        let on_drift = FailureCode::BundlePackageImmutabilityViolation;
        let evidence = &self.evidence;
        let stored = evidence.bytes(SIGNATURE_ROLE, &evidence.folder.bundle(SIGNATURE_FILE), bytes, on_drift).await?;
        Ok(Some(signature_artifact(&stored)))
    }
}

/// The model's format, by the name of its file in the store.
pub(super) fn stored_format(model: &EvidenceRef) -> Result<ModelFormat, Failure> {
    ModelFormat::of_stored(&model.reference).ok_or_else(|| {
        let message = format!("{} is no name that a model is stored by", model.reference);
        Failure::new(FailureCode::EvidenceUnresolved, message)
    })
}

pub(super) fn read_parity(stored: &StoredDocument) -> Result<ParityVectors, Failure> {
    read_json(SchemaName::ParityVectors, &stored.bytes)
        .map_err(|error| Failure::new(FailureCode::EvidenceUnresolved, format!("{}: {error}", stored.at.reference)))
}
