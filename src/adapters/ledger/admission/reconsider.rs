//! Tries a run again that the policy held up, when another request joins it.

use crate::adapters::ledger::row::LockedRun;
use crate::adapters::ledger::transaction::Transaction;
use crate::domain::contract::{EventReason, TrainBuildRequest};
use crate::domain::run::{FailureCode, State, Transition};

impl Transaction<'_> {
    /// Lets a run be tried again that ended, or waits, because nobody who had asked for it may use all that it names.
    /// The requester who joins now may, perhaps: what one may not do must not keep the run from another.
    pub(super) fn reconsider(&mut self, run: &mut LockedRun, request: &TrainBuildRequest) {
        if run.reason_code.as_deref() != Some(FailureCode::RequesterNotAllowed.as_str()) {
            return;
        }
        match run.state {
            State::Fail => {
                let message = format!("{:?} asks for the same run", request.requester_principal);
                let reason = EventReason::new(FailureCode::RequesterNotAllowed, message);
                run.full_attempts_before = run.full_run_attempts;
                run.available_at = self.at;
                self.step(run, Transition::Reopen, Some(reason)).expect("a run in FAIL may be opened again");
            }
            State::PublishPending if request.publish_allowed => {
                run.publish_attempts_before = run.publish_retry_attempts;
                run.available_at = self.at;
                run.clear_reason();
            }
            State::PublishPending
            | State::Queued
            | State::Running
            | State::EvalReady
            | State::Pass
            | State::Published => {}
        }
    }
}
