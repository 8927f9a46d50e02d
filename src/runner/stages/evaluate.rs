//! Evaluate: what the child measured becomes the report, and the run is `EVAL_READY`.

use super::resolve::Resolved;
use super::train::Trained;
use crate::ledger::{Lease, Step};
use crate::pipeline::{self, EvalProvenance, EvalReport};
use crate::run::{FailureCode, Transition};
use crate::runner::desk::{Desk, Stored};
use crate::runner::{Interrupted, Runner};

/// The report as it stands in the store.
pub(in crate::runner) struct Reported {
    pub(in crate::runner) report: EvalReport,
    pub(in crate::runner) stored: Stored,
}

impl Runner {
    pub(in crate::runner) async fn evaluate(
        &self,
        desk: &Desk<'_>,
        lease: &Lease,
        resolved: &Resolved,
        trained: Trained,
    ) -> Result<Reported, Interrupted> {
        let provenance = EvalProvenance {
            resolved_train_plan: resolved.stored.at.clone(),
            model: trained.model,
            scores: trained.scores,
            leakage_report: trained.leakage_report,
            revisions: resolved.plan.revisions.clone(),
        };
        let report = pipeline::report(&resolved.plan, trained.evaluation, &resolved.governance, provenance)?;
        let stored = desk
            .document("eval_report", &desk.folder.eval_report(), &report, FailureCode::EvalReportImmutabilityViolation)
            .await?;
        self.advance(lease, &[Step::to(Transition::FinishEvaluation, desk.refs())]).await?;
        Ok(Reported { report, stored })
    }
}
