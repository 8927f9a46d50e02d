//! Publish: the verdict and the announcement enter the ledger together; the relay sends it.

use super::bundle::{Packed, SIGNATURE_ROLE, read_parity, signature_artifact, stored_format};
use super::evaluate::Reported;
use super::gate::Gated;
use super::resolve::Resolved;
use super::train::{DECISION_ROLE, read_decision};
use crate::adapters::evidence::{EvidencePath, layout};
use crate::adapters::ledger::{Lease, Step};
use crate::domain::contract::{
    BundleArtifact, BundlePublication, EvalReport, EventRefs, EvidenceRef, GateReceipt, ParityVectors, SchemaName,
    TrainPlan, read_json,
};
use crate::domain::run::{Failure, FailureCode, State, Transition};
use crate::modelling::{self, AnnouncedDocuments, BundleEvidence, SIGNATURE_FILE, StoredVerdict};
use crate::worker::runner::attempt::RunAttempt;
use crate::worker::runner::evidence::StoredDocument;
use crate::worker::runner::outcome::Interrupted;
use serde::de::DeserializeOwned;
use tracing::info;

/// A run that passed, as it stands in the evidence store.
struct StoredRun {
    plan: TrainPlan,
    documents: AnnouncedDocuments,
    packed: Packed,
}

impl RunAttempt<'_> {
    pub async fn publish(
        &self,
        resolved: &Resolved,
        report: &Reported,
        gated: &Gated,
        packed: &Packed,
    ) -> Result<State, Interrupted> {
        self.complete("PASS").await?;
        let lineage = self.dataset_io(resolved, report, gated, Some(packed));
        let mut steps = vec![Step { lineage, ..Step::to(Transition::PassGate, self.evidence.refs()) }];
        if gated.is_eligible {
            // The ledger drops this step if no request allows publication. It decides under the row's lock, so that it
            // does not overlook a request that joins the run right now.
            steps.push(self.request_publication(resolved, report, gated, packed).await?);
        }
        self.advance(&steps).await
    }

    /// The step that announces the bundle. If the policy lets nobody publish it who has asked so far, the step names no
    /// announcement: should somebody ask meanwhile, a publish-only attempt asks the policy again.
    async fn request_publication(
        &self,
        resolved: &Resolved,
        report: &Reported,
        gated: &Gated,
        packed: &Packed,
    ) -> Result<Step, Interrupted> {
        match self.check_publication(&resolved.plan).await {
            Err(Interrupted::Failed(failure)) if failure.code == FailureCode::RequesterNotAllowed => {
                return Ok(Step::to(Transition::RequestPublish, EventRefs::default()));
            }
            checked => checked?,
        }
        let documents = AnnouncedDocuments {
            eval_report: report.stored.at.clone(),
            gate_receipt: gated.stored.at.clone(),
            decision_report: report.decision.as_ref().map(|decision| decision.stored.at.clone()),
        };
        let publication = self.announce(&resolved.plan, documents, packed, &[]).await?;
        Ok(Step::publish(Transition::RequestPublish, publication))
    }

    /// The only stage of publish-only mode: verifies the bundle that the run left in the store, and announces it again.
    pub async fn publish_again(&self) -> Result<State, Interrupted> {
        let StoredRun { plan, documents, packed } = self.reread().await?;
        self.guard.check()?;
        self.check_publication(&plan).await?;
        let earlier = self.runner.ledger.publications_of(&self.lease.run_id).await?;
        let publication = self.announce(&plan, documents, &packed, &earlier).await?;
        info!(bundle.id = %packed.bundle.bundle_id, "verified the bundle again");
        self.advance(&[Step::publish(Transition::DeferPublish, publication)]).await
    }

    /// Reads what an earlier attempt left and checks each document against the digest in the ledger and against the
    /// others: neither a row nor a file that was changed by hand gets a bundle announced. The bundle is packed again,
    /// so that [`Self::announce`] compares the stored one with what it must be.
    async fn reread(&self) -> Result<StoredRun, Interrupted> {
        let (lease, folder) = (self.lease, &self.evidence.folder);
        let plan_path = layout::resolved_train_plan(&lease.request.platform_run_id, &lease.run_key);
        let drift = FailureCode::ResolvedTrainPlanImmutabilityViolation;
        let plan = self.known("resolved_train_plan", &plan_path, drift).await?;
        let drift = FailureCode::EvalReportImmutabilityViolation;
        let report = self.known("eval_report", &folder.eval_report(), drift).await?;
        let drift = FailureCode::GateReceiptImmutabilityViolation;
        let receipt = self.known("gate_receipt", &folder.gate_receipt(), drift).await?;
        let drift = FailureCode::TrainArtifactImmutabilityViolation;
        let model_format = stored_format(named(lease, "model")?)?;
        let model = self.known("model", &folder.model(model_format.file_name()), drift).await?;
        let parity = self.known("parity_vectors", &folder.model(ParityVectors::FILE), drift).await?;
        let parsed_plan: TrainPlan = parse(&plan)?;
        let parsed_receipt: GateReceipt = parse(&receipt)?;
        let parsed_report: EvalReport = read_json(SchemaName::EvalReport, &report.bytes).map_err(|error| {
            Failure::new(FailureCode::EvalReportInvalid, format!("{}: {error}", report.at.reference))
        })?;
        modelling::clear_for_publication(&StoredVerdict {
            run_id: &lease.run_id,
            intent: lease.request.intent_kind,
            plan: plan.at.sha256,
            model: model.at.sha256,
            report: (&parsed_report, report.at.sha256),
            receipt: &parsed_receipt,
        })?;
        let parsed_parity = read_parity(&parity)?;
        let drift = FailureCode::TrainArtifactImmutabilityViolation;
        let decision = match &parsed_report.provenance.decision_report {
            Some(_) => Some(self.known(DECISION_ROLE, &folder.decision_report(), drift).await?),
            None => None,
        };
        let parsed_decision = decision.as_ref().map(read_decision).transpose()?;
        let bundle = modelling::bundle(&BundleEvidence {
            plan: (&parsed_plan, &plan.bytes),
            report: (&parsed_report, &report.bytes),
            decision: parsed_decision.as_ref().zip(decision.as_ref().map(|stored| stored.bytes.as_ref())),
            receipt: (&parsed_receipt, &receipt.bytes),
            parity: (&parsed_parity, &parity.bytes),
            model: (model_format, &model.bytes),
        });
        let packed = Packed { bundle, signature: self.known_signature().await? };
        let documents = AnnouncedDocuments {
            eval_report: report.at,
            gate_receipt: receipt.at,
            decision_report: decision.map(|stored| stored.at),
        };
        Ok(StoredRun { plan: parsed_plan, documents, packed })
    }

    /// Reads the signature that the ledger names: the worker's key may be another one by now. `None` if the ledger
    /// names none and unsigned bundles are allowed.
    async fn known_signature(&self) -> Result<Option<BundleArtifact>, Interrupted> {
        if self.runner.allow_unsigned && !self.lease.refs.contains_key(SIGNATURE_ROLE) {
            return Ok(None);
        }
        let on_drift = FailureCode::BundlePackageImmutabilityViolation;
        let path = self.evidence.folder.bundle(SIGNATURE_FILE);
        Ok(Some(signature_artifact(&self.known(SIGNATURE_ROLE, &path, on_drift).await?)))
    }

    /// Makes the announcement, checks it, and compares the digest of each stored file of the bundle with what it must
    /// be.
    async fn announce(
        &self,
        plan: &TrainPlan,
        documents: AnnouncedDocuments,
        Packed { bundle, signature }: &Packed,
        earlier: &[BundlePublication],
    ) -> Result<BundlePublication, Interrupted> {
        let (evidence, folder) = (&self.evidence, &self.evidence.folder);
        let mut publication = modelling::publication(plan, bundle, folder.bundle_folder(), documents);
        publication.artifacts.extend(signature.clone());
        modelling::clear_announcement(&publication, earlier)?;
        let on_drift = FailureCode::BundlePackageImmutabilityViolation;
        for file in &bundle.files {
            let (role, path) = (format!("bundle/{}", file.path), folder.bundle(file.path));
            evidence.verified(&role, &path, file.artifact().sha256, on_drift).await?;
        }
        if let Some(file) = signature {
            evidence.verified(SIGNATURE_ROLE, &folder.bundle(SIGNATURE_FILE), file.sha256, on_drift).await?;
        }
        Ok(publication)
    }

    /// Reads a document that the ledger names by this role. If it has another digest, the run fails with `on_drift`.
    async fn known(
        &self,
        role: &str,
        path: &EvidencePath,
        on_drift: FailureCode,
    ) -> Result<StoredDocument, Interrupted> {
        self.evidence.verified(role, path, named(self.lease, role)?.sha256, on_drift).await
    }
}

fn named<'a>(lease: &'a Lease, role: &str) -> Result<&'a EvidenceRef, Failure> {
    lease.refs.get(role).ok_or_else(|| {
        let message = format!("the ledger names no {role} of {}", lease.run_id);
        Failure::new(FailureCode::EvidenceRefMissing, message)
    })
}

fn parse<T: DeserializeOwned>(stored: &StoredDocument) -> Result<T, Failure> {
    serde_json::from_slice(&stored.bytes)
        .map_err(|error| Failure::new(FailureCode::EvidenceUnresolved, format!("{}: {error}", stored.at.reference)))
}
