//! Bundle: the documents become a folder that real tools open.

use super::evaluate::Reported;
use super::gate::Gated;
use super::resolve::Resolved;
use crate::adapters::ledger::Lease;
use crate::domain::contract::{BundleArtifact, EventRefs, EvidenceRef, SchemaName, read_json};
use crate::domain::identity::{Digest, RunId};
use crate::domain::run::{Failure, FailureCode};
use crate::failpoints::failpoint;
use crate::modelling::{self, Bundle, BundleContents, BundleDocuments, ModelFormat, ParityVectors, SIGNATURE_FILE};
use crate::worker::runner::attempt::Attempt;
use crate::worker::runner::desk::{Desk, Stored};
use crate::worker::runner::{Interrupted, Runner};
use bytes::Bytes;
use serde::Serialize;

/// `evidence/evidence_pack.json`: every document of the run with its digest.
/// `learning.evidence_pack.v0`.
#[derive(Serialize)]
struct EvidencePack<'a> {
    schema_version: &'static str,
    run_id: &'a RunId,
    documents: &'a EventRefs,
}

/// `_COMPLETE`, written last: the pack's digest.
#[derive(Serialize)]
struct Complete<'a> {
    evidence_pack: &'a EvidenceRef,
}

/// A bundle that stands in the store, and the signature beside its files.
pub(in crate::worker::runner) struct Packed {
    pub(in crate::worker::runner) bundle: Bundle,
    pub(in crate::worker::runner) signature: Option<BundleArtifact>,
}

/// The signature's role in the ledger.
pub(super) const SIGNATURE_ROLE: &str = "bundle/model.sig";

/// The signature among a bundle's files.
pub(super) fn signature_artifact(stored: &Stored) -> BundleArtifact {
    BundleArtifact {
        path: SIGNATURE_FILE.to_owned(),
        sha256: stored.at.sha256,
        bytes: stored.bytes.len() as u64,
        media_type: "application/vnd.dev.sigstore.bundle.v0.3+json".to_owned(),
    }
}

impl Runner {
    pub(in crate::worker::runner) async fn bundle(
        &self,
        desk: &Desk<'_>,
        resolved: &Resolved,
        report: &Reported,
        gated: &Gated,
    ) -> Result<Packed, Interrupted> {
        let model = &report.report.provenance.model;
        let model_format = stored_format(model)?;
        let on_drift = FailureCode::TrainArtifactImmutabilityViolation;
        let path = desk.folder.model(model_format.file_name());
        let model = desk.verified("model", &path, model.sha256, on_drift).await?;
        let parity = desk
            .refs()
            .get("parity_vectors")
            .map(|at| at.sha256)
            .ok_or_else(|| Failure::new(FailureCode::EvidenceRefMissing, "training left no parity vectors"))?;
        let path = desk.folder.model(ParityVectors::FILE);
        let parity = desk.verified("parity_vectors", &path, parity, on_drift).await?;
        let documents = BundleDocuments {
            plan: &resolved.plan,
            report: &report.report,
            receipt: &gated.receipt,
            parity: &read_parity(&parity)?,
        };
        let bundle = modelling::bundle(
            &documents,
            BundleContents {
                model: model.bytes.to_vec(),
                model_format,
                eval_report: report.stored.bytes.to_vec(),
                gate_receipt: gated.stored.bytes.to_vec(),
                plan: resolved.stored.bytes.to_vec(),
                parity_vectors: parity.bytes.to_vec(),
            },
        );
        for file in &bundle.files {
            let role = format!("bundle/{}", file.path);
            let bytes = Bytes::from(file.bytes.clone());
            let path = desk.folder.bundle(file.path);
            desk.bytes(&role, &path, bytes, FailureCode::BundlePackageImmutabilityViolation).await?;
        }
        let signature = self.sign(desk, &bundle).await?;
        Ok(Packed { bundle, signature })
    }

    /// Signs every file, where there is a key; the last file of the bundle. A key that was changed since an
    /// earlier attempt signed gives other bytes, which is drift.
    async fn sign(&self, desk: &Desk<'_>, bundle: &Bundle) -> Result<Option<BundleArtifact>, Interrupted> {
        let Some(key) = &self.signing else { return Ok(None) };
        let files = bundle.files.iter().map(|file| (file.path.to_owned(), Digest::of(&file.bytes))).collect();
        let bytes = Bytes::from(key.sign(&bundle.bundle_version, &files, SIGNATURE_FILE));
        let on_drift = FailureCode::BundlePackageImmutabilityViolation;
        let stored = desk.bytes(SIGNATURE_ROLE, &desk.folder.bundle(SIGNATURE_FILE), bytes, on_drift).await?;
        Ok(Some(signature_artifact(&stored)))
    }

    /// Closes the evidence of a run that reached its verdict: pack, attempt, `_COMPLETE`.
    pub(in crate::worker::runner) async fn complete(
        &self,
        desk: &Desk<'_>,
        lease: &Lease,
        attempt: &Attempt,
        ended_with: &str,
    ) -> Result<Digest, Interrupted> {
        let pack = EvidencePack {
            schema_version: "learning.evidence_pack.v0",
            run_id: &lease.run_id,
            documents: &desk.refs(),
        };
        let drift = FailureCode::EvidencePackImmutabilityViolation;
        let stored = desk.document("evidence_pack", &desk.folder.evidence_pack(), &pack, drift).await?;
        failpoint("complete.packed")?;
        self.record_attempt(desk, attempt, ended_with).await?;
        let complete = Complete { evidence_pack: &stored.at };
        desk.document("complete", &desk.folder.complete(), &complete, drift).await?;
        Ok(stored.at.sha256)
    }
}

/// How the model of this run is saved; its name says so.
pub(super) fn stored_format(model: &EvidenceRef) -> Result<ModelFormat, Failure> {
    ModelFormat::of_stored(&model.reference).ok_or_else(|| {
        let message = format!("{} is no name that a model is stored by", model.reference);
        Failure::new(FailureCode::EvidenceUnresolved, message)
    })
}

/// Parity vectors as the store holds them.
pub(super) fn read_parity(stored: &Stored) -> Result<ParityVectors, Failure> {
    read_json(SchemaName::ParityVectors, &stored.bytes)
        .map_err(|error| Failure::new(FailureCode::EvidenceUnresolved, format!("{}: {error}", stored.at.reference)))
}
