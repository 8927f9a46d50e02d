//! Evaluate: what the child measured becomes the report, and the run is `EVAL_READY`.

use super::resolve::Resolved;
use super::train::Trained;
use crate::adapters::ledger::{Lease, Step};
use crate::domain::run::{FailureCode, Transition};
use crate::modelling::{self, EvalProvenance, EvalReport};
use crate::worker::runner::desk::{Desk, Stored};
use crate::worker::runner::{Interrupted, Runner};

/// The report as it stands in the store.
pub(in crate::worker::runner) struct Reported {
    pub(in crate::worker::runner) report: EvalReport,
    pub(in crate::worker::runner) stored: Stored,
}

impl Runner {
    pub(in crate::worker::runner) async fn evaluate(
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
        let report = modelling::report(&resolved.plan, trained.evaluation, &resolved.governance, provenance)?;
        let stored = desk
            .document("eval_report", &desk.folder.eval_report(), &report, FailureCode::EvalReportImmutabilityViolation)
            .await?;
        self.advance(lease, &[Step::to(Transition::FinishEvaluation, desk.refs())]).await?;
        Ok(Reported { report, stored })
    }
}
