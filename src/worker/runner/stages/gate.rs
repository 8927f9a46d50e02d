//! Gate: thresholds over the stored report become a receipt.

use super::evaluate::Reported;
use super::resolve::Resolved;
use crate::adapters::ledger::Step;
use crate::domain::contract::{Decision, Eligibility, EventRefs, GateReceipt};
use crate::domain::run::{FailureCode, State, Transition};
use crate::modelling::{self, ReportSources};
use crate::worker::runner::attempt::RunAttempt;
use crate::worker::runner::evidence::StoredDocument;
use crate::worker::runner::outcome::Interrupted;
use bytes::Bytes;

pub struct Gated {
    pub receipt: GateReceipt,
    pub stored: StoredDocument,
    /// Whether gate and intent allow the bundle to be announced. The ledger decides whether a request allows it.
    pub is_eligible: bool,
}

impl Gated {
    pub fn failed(&self) -> bool {
        self.receipt.decision == Decision::Fail
    }
}

impl RunAttempt<'_> {
    pub async fn gate(&self, resolved: &Resolved, report: &Reported) -> Result<Gated, Interrupted> {
        let (evidence, folder) = (&self.evidence, &self.evidence.folder);
        // The copies of manifests and profiles that this run keeps.
        let inputs = evidence.refs().into_iter().filter(|(role, _)| role.starts_with("inputs/"));
        let lease = self.lease;
        let profile = (&resolved.governance, resolved.plan.governance_profile.at());
        let decision = report.decision.as_ref().map(|decision| &decision.report);
        let reported = (&report.report, &report.stored.at);
        let mut receipt = modelling::gate(&lease.run_id, reported, decision, profile, inputs)?;
        let left = evidence.left("gate_receipt", &folder.gate_receipt()).await?;
        if let Some(existing) = left.and_then(|left| serde_json::from_slice(&left.bytes).ok()) {
            receipt = receipt.like(&existing);
        }
        let drift = FailureCode::GateReceiptImmutabilityViolation;
        let stored = evidence.document("gate_receipt", &folder.gate_receipt(), &receipt, drift).await?;
        let eligibility = modelling::eligibility(&receipt, stored.at.clone(), lease.request.intent_kind);
        let (path, drift) = (folder.publish_eligibility(), FailureCode::PublishEligibilityImmutabilityViolation);
        evidence.document("publish_eligibility", &path, &eligibility, drift).await?;
        self.put_report_page(resolved, report, &receipt, &stored).await?;
        Ok(Gated { receipt, stored, is_eligible: eligibility.eligibility == Eligibility::Eligible })
    }

    /// Ends a run that the gate fails, or that has nothing to pack: the bundle that a regression check measures exists
    /// already. The evidence of a failed run stays.
    pub async fn end_at_gate(
        &self,
        resolved: &Resolved,
        report: &Reported,
        gated: &Gated,
    ) -> Result<State, Interrupted> {
        let lineage = self.dataset_io(resolved, report, gated, None);
        let (failed, code) = (gated.failed(), FailureCode::GateFail);
        self.complete(if failed { code.as_str() } else { "PASS" }).await?;
        let mut step = if failed {
            Step::with_reason(Transition::FailGate, code, gated.receipt.failure_message())
        } else {
            Step::to(Transition::PassGate, EventRefs::default())
        };
        step.refs = self.evidence.refs();
        step.lineage = lineage;
        self.advance(&[step]).await
    }

    /// Puts the evaluation report as an HTML page. Nothing depends on the page, so a page of an earlier attempt stays,
    /// even if this release would draw it in another way.
    async fn put_report_page(
        &self,
        resolved: &Resolved,
        report: &Reported,
        receipt: &GateReceipt,
        stored: &StoredDocument,
    ) -> Result<(), Interrupted> {
        const ROLE: &str = "report_page";
        let path = self.evidence.folder.report_page();
        if self.evidence.left(ROLE, &path).await?.is_some() {
            return Ok(());
        }
        let page = modelling::report_page(&ReportSources {
            plan: &resolved.plan,
            report: &report.report,
            decision: report.decision.as_ref().map(|decision| &decision.report),
            receipt,
            receipt_at: Some(&stored.at),
        });
        let drift = FailureCode::EvalReportImmutabilityViolation;
        self.evidence.bytes(ROLE, &path, Bytes::from(page), drift).await?;
        Ok(())
    }
}
