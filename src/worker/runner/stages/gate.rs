//! Gate: thresholds over the stored report become a receipt.

use super::evaluate::Reported;
use super::resolve::Resolved;
use crate::adapters::ledger::{Lease, Step};
use crate::domain::run::{FailureCode, State, Transition};
use crate::modelling::lineage::Account;
use crate::modelling::{self, Decision, Eligibility, GateReceipt, PublishEligibility, ReportSources};
use crate::worker::runner::attempt::Attempt;
use crate::worker::runner::desk::{Desk, Stored};
use crate::worker::runner::{Interrupted, Runner};
use bytes::Bytes;

/// The receipt as it stands in the store.
pub(in crate::worker::runner) struct Gated {
    pub(in crate::worker::runner) receipt: GateReceipt,
    pub(in crate::worker::runner) stored: Stored,
    eligibility: PublishEligibility,
}

impl Gated {
    /// Why the gate failed, where it did.
    pub(in crate::worker::runner) fn failed(&self) -> Option<String> {
        (self.receipt.decision == Decision::Fail).then(|| self.receipt.failure_message())
    }

    /// Whether the bundle may be announced, if a requester allows it.
    pub(in crate::worker::runner) fn is_eligible(&self) -> bool {
        self.eligibility.eligibility == Eligibility::Eligible
    }
}

impl Runner {
    pub(in crate::worker::runner) async fn gate(
        &self,
        desk: &Desk<'_>,
        lease: &Lease,
        resolved: &Resolved,
        report: &Reported,
    ) -> Result<Gated, Interrupted> {
        // As this run read them.
        let inputs = desk.refs().into_iter().filter(|(role, _)| role.starts_with("inputs/"));
        let receipt = modelling::gate(&lease.run_id, &report.report, &report.stored.at, &resolved.governance, inputs)?;
        let folder = &desk.folder;
        let stored = desk
            .document("gate_receipt", &folder.gate_receipt(), &receipt, FailureCode::GateReceiptImmutabilityViolation)
            .await?;
        let eligibility = modelling::eligibility(&receipt, stored.at.clone(), lease.request.intent_kind);
        desk.document(
            "publish_eligibility",
            &folder.publish_eligibility(),
            &eligibility,
            FailureCode::PublishEligibilityImmutabilityViolation,
        )
        .await?;
        show(desk, resolved, report, &receipt, &stored).await?;
        Ok(Gated { receipt, stored, eligibility })
    }

    /// Ends a run that has nothing to pack where the gate lets it through.
    pub(in crate::worker::runner) async fn pass(
        &self,
        desk: &Desk<'_>,
        lease: &Lease,
        attempt: &Attempt,
        account: Option<Account>,
    ) -> Result<State, Interrupted> {
        self.complete(desk, lease, attempt, "PASS").await?;
        let step = Step { lineage: account, ..Step::to(Transition::PassGate, desk.refs()) };
        self.advance(lease, &[step]).await
    }

    /// Ends the run at the gate; what it left stays for forensics.
    pub(in crate::worker::runner) async fn fail_gate(
        &self,
        desk: &Desk<'_>,
        lease: &Lease,
        attempt: &Attempt,
        why: String,
        account: Option<Account>,
    ) -> Result<State, Interrupted> {
        self.complete(desk, lease, attempt, FailureCode::GateFail.as_str()).await?;
        let mut step = Step::with_reason(Transition::FailGate, FailureCode::GateFail, why);
        step.refs = desk.refs();
        step.lineage = account;
        self.advance(lease, &[step]).await
    }
}

/// Puts the page for people. It decides nothing, so one that an earlier attempt put stays even where
/// another release of ours would draw it in another way.
async fn show(
    desk: &Desk<'_>,
    resolved: &Resolved,
    report: &Reported,
    receipt: &GateReceipt,
    stored: &Stored,
) -> Result<(), Interrupted> {
    const ROLE: &str = "report_page";
    let path = desk.folder.report_page();
    if desk.left(ROLE, &path).await?.is_some() {
        return Ok(());
    }
    let page = modelling::report_page(&ReportSources {
        plan: &resolved.plan,
        report: &report.report,
        receipt,
        receipt_at: Some(&stored.at),
    });
    desk.bytes(ROLE, &path, Bytes::from(page), FailureCode::EvalReportImmutabilityViolation).await?;
    Ok(())
}
