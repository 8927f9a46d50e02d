//! Publish: the verdict and the announcement enter the ledger together; the relay sends it.

use super::evaluate::Reported;
use super::gate::Gated;
use super::resolve::Resolved;
use crate::contract::{BundlePublication, EvidenceRef};
use crate::evidence::{EvidencePath, layout};
use crate::ledger::{Lease, Step};
use crate::pipeline::{self, Bundle, BundleContents, Decision, GateReceipt, TrainPlan};
use crate::run::{Failure, FailureCode, State, Transition};
use crate::runner::attempt::Attempt;
use crate::runner::desk::{Desk, Stored};
use crate::runner::keeper::Keeper;
use crate::runner::{Interrupted, Runner};
use serde::de::DeserializeOwned;
use tracing::info;

impl Runner {
    #[expect(clippy::too_many_arguments, reason = "the last stage sees what all others left")]
    pub(in crate::runner) async fn publish(
        &self,
        desk: &Desk<'_>,
        lease: &Lease,
        attempt: &Attempt,
        resolved: &Resolved,
        report: &Reported,
        gated: &Gated,
        bundle: &Bundle,
    ) -> Result<State, Interrupted> {
        self.complete(desk, lease, attempt, "PASS").await?;
        let mut steps = vec![Step::to(Transition::PassGate, desk.refs())];
        if gated.is_eligible() {
            let publication =
                announce(desk, &resolved.plan, report.stored.at.clone(), gated.stored.at.clone(), bundle).await?;
            // The ledger drops this step where no request allows publication; it decides under the
            // row's lock, so that a request that joins the run right now is not overlooked.
            steps.push(Step::publish(Transition::RequestPublish, publication));
        }
        self.advance(lease, &steps).await
    }

    /// Publish-only: verify what the run left and announce it. Nothing here can train: there is no job.
    pub(in crate::runner) async fn publish_again(
        &self,
        lease: &Lease,
        keeper: &Keeper<'_>,
    ) -> Result<State, Interrupted> {
        let desk = Desk::new(&self.store, lease);
        let found = self.reread(&desk, lease).await?;
        keeper.check()?;
        let publication = announce(&desk, &found.plan, found.report, found.receipt, &found.bundle).await?;
        info!(bundle.id = %found.bundle.bundle_id, "verified the bundle again");
        self.advance(lease, &[Step::publish(Transition::DeferPublish, publication)]).await
    }

    /// What an earlier attempt left, each document against the digest in the ledger; the bundle is
    /// packed again from them, so that `announce` compares the stored one with what it must be.
    async fn reread(&self, desk: &Desk<'_>, lease: &Lease) -> Result<Found, Interrupted> {
        let folder = &desk.folder;
        let plan_path = layout::resolved_train_plan(&lease.request.platform_run_id, &lease.run_key);
        let plan = known(desk, lease, "resolved_train_plan", &plan_path).await?;
        let report = known(desk, lease, "eval_report", &folder.eval_report()).await?;
        let receipt = known(desk, lease, "gate_receipt", &folder.gate_receipt()).await?;
        let model = known(desk, lease, "model", &folder.model("model.json")).await?;
        let parsed_plan: TrainPlan = read(&plan)?;
        let parsed_receipt: GateReceipt = read(&receipt)?;
        if parsed_receipt.decision != Decision::Pass {
            return Err(Failure::new(FailureCode::PublishNotEligible, "the gate's receipt is not a PASS").into());
        }
        let bundle = pipeline::bundle(
            &parsed_plan,
            BundleContents {
                model: model.bytes.to_vec(),
                eval_report: report.bytes.to_vec(),
                gate_receipt: receipt.bytes.to_vec(),
                plan: plan.bytes.to_vec(),
            },
        );
        Ok(Found { plan: parsed_plan, report: report.at, receipt: receipt.at, bundle })
    }
}

/// Verifies the stored bundle, byte for byte, and writes its announcement.
async fn announce(
    desk: &Desk<'_>,
    plan: &TrainPlan,
    eval_report: EvidenceRef,
    gate_receipt: EvidenceRef,
    bundle: &Bundle,
) -> Result<BundlePublication, Interrupted> {
    for file in &bundle.files {
        let artifact = file.artifact();
        desk.verified(&format!("bundle/{}", file.path), &desk.folder.bundle(file.path), artifact.sha256).await?;
    }
    Ok(pipeline::publication(plan, bundle, desk.folder.bundle_folder(), eval_report, gate_receipt)?)
}

/// A passed run as it stands in the evidence store.
struct Found {
    plan: TrainPlan,
    report: EvidenceRef,
    receipt: EvidenceRef,
    bundle: Bundle,
}

/// Evidence that the ledger knows by role.
async fn known(desk: &Desk<'_>, lease: &Lease, role: &str, path: &EvidencePath) -> Result<Stored, Interrupted> {
    let Some(at) = lease.refs.get(role) else {
        let message = format!("the ledger names no {role} of {}", lease.run_id);
        return Err(Failure::new(FailureCode::EvidenceRefMissing, message).into());
    };
    desk.verified(role, path, at.sha256).await
}

fn read<T: DeserializeOwned>(stored: &Stored) -> Result<T, Failure> {
    serde_json::from_slice(&stored.bytes)
        .map_err(|error| Failure::new(FailureCode::EvidenceUnresolved, format!("{}: {error}", stored.at.reference)))
}
