//! Publish: the verdict and the announcement enter the ledger together; the relay sends it.

use super::bundle::{Packed, SIGNATURE_ROLE, read_parity, signature_artifact, stored_format};
use super::evaluate::Reported;
use super::gate::Gated;
use super::resolve::Resolved;
use crate::adapters::evidence::{EvidencePath, layout};
use crate::adapters::ledger::{Lease, Step};
use crate::domain::contract::{BundleArtifact, BundlePublication, EvidenceRef, SchemaName, read_json};
use crate::domain::run::{Failure, FailureCode, State, Transition};
use crate::modelling::{
    self, BundleContents, BundleDocuments, EvalReport, GateReceipt, ParityVectors, SIGNATURE_FILE, StoredVerdict,
    TrainPlan,
};
use crate::worker::runner::attempt::Attempt;
use crate::worker::runner::desk::{Desk, Stored};
use crate::worker::runner::keeper::Keeper;
use crate::worker::runner::{Interrupted, Runner};
use serde::de::DeserializeOwned;
use tracing::info;

impl Runner {
    #[expect(clippy::too_many_arguments, reason = "the last stage sees what all others left")]
    pub(in crate::worker::runner) async fn publish(
        &self,
        desk: &Desk<'_>,
        lease: &Lease,
        attempt: &Attempt,
        resolved: &Resolved,
        report: &Reported,
        gated: &Gated,
        packed: &Packed,
    ) -> Result<State, Interrupted> {
        self.complete(desk, lease, attempt, "PASS").await?;
        let account = self.account(desk, lease, resolved, report, gated, Some(packed));
        let mut steps = vec![Step { lineage: account, ..Step::to(Transition::PassGate, desk.refs()) }];
        if gated.is_eligible() {
            let (report, receipt) = (report.stored.at.clone(), gated.stored.at.clone());
            let publication = announce(desk, &resolved.plan, report, receipt, packed, &[]).await?;
            // The ledger drops this step where no request allows publication; it decides under the
            // row's lock, so that a request that joins the run right now is not overlooked.
            steps.push(Step::publish(Transition::RequestPublish, publication));
        }
        self.advance(lease, &steps).await
    }

    /// Publish-only: verify what the run left and announce it. Nothing here can train: there is no job.
    pub(in crate::worker::runner) async fn publish_again(
        &self,
        lease: &Lease,
        keeper: &Keeper<'_>,
    ) -> Result<State, Interrupted> {
        let desk = Desk::new(&self.store, lease);
        let found = self.reread(&desk, lease).await?;
        keeper.check()?;
        let earlier = self.ledger.publications_of(&lease.run_id).await?;
        let publication = announce(&desk, &found.plan, found.report, found.receipt, &found.packed, &earlier).await?;
        info!(bundle.id = %found.packed.bundle.bundle_id, "verified the bundle again");
        self.advance(lease, &[Step::publish(Transition::DeferPublish, publication)]).await
    }

    /// What an earlier attempt left, each document against the digest in the ledger, and all of them
    /// against each other: neither a row nor a file that was changed by hand gets a bundle announced. The
    /// bundle is packed again, so that `announce` compares the stored one with what it must be.
    async fn reread(&self, desk: &Desk<'_>, lease: &Lease) -> Result<Found, Interrupted> {
        let folder = &desk.folder;
        let plan_path = layout::resolved_train_plan(&lease.request.platform_run_id, &lease.run_key);
        let drift = FailureCode::ResolvedTrainPlanImmutabilityViolation;
        let plan = known(desk, lease, "resolved_train_plan", &plan_path, drift).await?;
        let drift = FailureCode::EvalReportImmutabilityViolation;
        let report = known(desk, lease, "eval_report", &folder.eval_report(), drift).await?;
        let drift = FailureCode::GateReceiptImmutabilityViolation;
        let receipt = known(desk, lease, "gate_receipt", &folder.gate_receipt(), drift).await?;
        let drift = FailureCode::TrainArtifactImmutabilityViolation;
        let model_format = stored_format(named(lease, "model")?)?;
        let model = known(desk, lease, "model", &folder.model(model_format.file_name()), drift).await?;
        let parity = known(desk, lease, "parity_vectors", &folder.model(ParityVectors::FILE), drift).await?;
        let parsed_plan: TrainPlan = read(&plan)?;
        let parsed_receipt: GateReceipt = read(&receipt)?;
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
        let documents = BundleDocuments {
            plan: &parsed_plan,
            report: &parsed_report,
            receipt: &parsed_receipt,
            parity: &read_parity(&parity)?,
        };
        let bundle = modelling::bundle(
            &documents,
            BundleContents {
                model: model.bytes.to_vec(),
                model_format,
                eval_report: report.bytes.to_vec(),
                gate_receipt: receipt.bytes.to_vec(),
                plan: plan.bytes.to_vec(),
                parity_vectors: parity.bytes.to_vec(),
            },
        );
        let signature = self.signature(desk, lease).await?;
        let packed = Packed { bundle, signature };
        Ok(Found { plan: parsed_plan, report: report.at, receipt: receipt.at, packed })
    }

    /// The signature that the ledger knows. It is not made again: the key may be another one by now.
    async fn signature(&self, desk: &Desk<'_>, lease: &Lease) -> Result<Option<BundleArtifact>, Interrupted> {
        if self.allow_unsigned && !lease.refs.contains_key(SIGNATURE_ROLE) {
            return Ok(None);
        }
        let on_drift = FailureCode::BundlePackageImmutabilityViolation;
        let stored = known(desk, lease, SIGNATURE_ROLE, &desk.folder.bundle(SIGNATURE_FILE), on_drift).await?;
        Ok(Some(signature_artifact(&stored)))
    }
}

/// Writes the announcement, checks it, and verifies the stored bundle byte for byte.
async fn announce(
    desk: &Desk<'_>,
    plan: &TrainPlan,
    eval_report: EvidenceRef,
    gate_receipt: EvidenceRef,
    packed: &Packed,
    earlier: &[BundlePublication],
) -> Result<BundlePublication, Interrupted> {
    let Packed { bundle, signature } = packed;
    let mut publication = modelling::publication(plan, bundle, desk.folder.bundle_folder(), eval_report, gate_receipt);
    publication.artifacts.extend(signature.clone());
    modelling::clear_announcement(&publication, earlier)?;
    for file in &bundle.files {
        let artifact = file.artifact();
        let (role, path) = (format!("bundle/{}", file.path), desk.folder.bundle(file.path));
        desk.verified(&role, &path, artifact.sha256, FailureCode::BundlePackageImmutabilityViolation).await?;
    }
    if let Some(file) = signature {
        let path = desk.folder.bundle(SIGNATURE_FILE);
        let on_drift = FailureCode::BundlePackageImmutabilityViolation;
        desk.verified(SIGNATURE_ROLE, &path, file.sha256, on_drift).await?;
    }
    Ok(publication)
}

/// A passed run as it stands in the evidence store.
struct Found {
    plan: TrainPlan,
    report: EvidenceRef,
    receipt: EvidenceRef,
    packed: Packed,
}

/// Evidence that the ledger knows by role, with the digest that it knows, else `on_drift`.
async fn known(
    desk: &Desk<'_>,
    lease: &Lease,
    role: &str,
    path: &EvidencePath,
    on_drift: FailureCode,
) -> Result<Stored, Interrupted> {
    desk.verified(role, path, named(lease, role)?.sha256, on_drift).await
}

fn named<'a>(lease: &'a Lease, role: &str) -> Result<&'a EvidenceRef, Failure> {
    lease.refs.get(role).ok_or_else(|| {
        let message = format!("the ledger names no {role} of {}", lease.run_id);
        Failure::new(FailureCode::EvidenceRefMissing, message)
    })
}

fn read<T: DeserializeOwned>(stored: &Stored) -> Result<T, Failure> {
    serde_json::from_slice(&stored.bytes)
        .map_err(|error| Failure::new(FailureCode::EvidenceUnresolved, format!("{}: {error}", stored.at.reference)))
}
