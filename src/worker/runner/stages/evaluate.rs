//! Evaluate: what the child measured becomes the report, and the run is `EVAL_READY`.

use super::resolve::Resolved;
use super::train::{StoredDecision, TrainingResults};
use crate::adapters::ledger::Step;
use crate::domain::contract::{EvalProvenance, EvalReport};
use crate::domain::run::{FailureCode, Transition};
use crate::modelling;
use crate::worker::runner::attempt::RunAttempt;
use crate::worker::runner::evidence::StoredDocument;
use crate::worker::runner::outcome::Interrupted;

pub struct Reported {
    pub report: EvalReport,
    pub stored: StoredDocument,
    /// `None` if an earlier release trained the model.
    pub decision: Option<StoredDecision>,
}

impl RunAttempt<'_> {
    pub async fn evaluate(&self, resolved: &Resolved, trained: TrainingResults) -> Result<Reported, Interrupted> {
        let provenance = EvalProvenance {
            resolved_train_plan: resolved.stored.at.clone(),
            model: trained.model,
            scores: trained.scores,
            leakage_report: trained.leakage_report,
            decision_report: trained.decision.as_ref().map(|decision| decision.stored.at.clone()),
            revisions: resolved.plan.revisions.clone(),
        };
        let report = modelling::report(
            &resolved.plan,
            trained.evaluation,
            trained.decision.as_ref().map(|decision| &decision.report),
            &resolved.governance,
            provenance,
        )?;
        let (evidence, drift) = (&self.evidence, FailureCode::EvalReportImmutabilityViolation);
        let stored = evidence.document("eval_report", &evidence.folder.eval_report(), &report, drift).await?;
        self.advance(&[Step::to(Transition::FinishEvaluation, evidence.refs())]).await?;
        Ok(Reported { report, stored, decision: trained.decision })
    }
}
