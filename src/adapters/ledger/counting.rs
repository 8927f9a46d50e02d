//! What a transaction came to is counted once its COMMIT is acknowledged: a worker that dies, or loses the answer,
//! leaves it out, and nothing counts twice.

use super::rows::{Additions, TransitionDraft};
use crate::domain::run::{Outcome, Transition};
use crate::telemetry::metrics::{self, Requeued, RunEnd};

impl Additions {
    /// Counts the steps of runs.
    pub(super) fn count(&self) {
        for step in &self.transitions {
            let code = step.reason.as_ref().map(|reason| reason.code);
            match (step.transition, code) {
                (Transition::PassGate, _) => metrics::RUNS_ENDED.count(RunEnd::Passed),
                (Transition::Publish, _) => metrics::RUNS_ENDED.count(RunEnd::Published),
                (Transition::Fail | Transition::FailGate | Transition::Cancel, Some(code)) => {
                    metrics::RUNS_ENDED.count(RunEnd::Failed(code));
                }
                (Transition::Requeue, code) => metrics::RUNS_REQUEUED.count(Requeued(code)),
                (Transition::StartPublish, _) => metrics::PUBLISH_RETRIES.count(()),
                (Transition::DeferPublish, _) if is_parked(step) => metrics::PUBLISH_EXHAUSTED.count(()),
                _ => {}
            }
        }
    }
}

/// As `publish.exhausted` tells it: nobody goes on by himself.
fn is_parked(step: &TransitionDraft) -> bool {
    step.reason.as_ref().is_some_and(|reason| !reason.retryable)
}

/// Counts an outcome, and its dead letter where there is one.
pub(super) fn count(outcome: &Outcome) {
    metrics::REQUESTS.count(outcome.kind());
    if let Some(code) = outcome.code() {
        metrics::DEAD_LETTERS.count(code);
    }
}
