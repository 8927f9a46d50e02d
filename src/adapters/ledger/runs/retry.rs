//! When a run that came to nothing is tried again, and when it is not any more.

use crate::adapters::ledger::row::LockedRun;
use crate::adapters::ledger::transaction::Transaction;
use crate::domain::contract::EventReason;
use crate::domain::run::{FailureCode, IllegalTransition, Transition};
use chrono::TimeDelta;

impl Transaction<'_> {
    /// Back to the queue with a pause, or FAIL with `ATTEMPTS_EXHAUSTED` where the attempts are used up. A lost
    /// worker's run does not pause: its lease was pause enough.
    pub fn requeue(&mut self, run: &mut LockedRun, reason: EventReason) -> Result<(), IllegalTransition> {
        let made = run.full_run_attempts - run.full_attempts_before;
        if made as u32 >= self.ledger.settings.max_full_attempts {
            let exhausted = exhausted(FailureCode::AttemptsExhausted, made, &reason);
            return self.step(run, Transition::Fail, Some(exhausted));
        }
        run.available_at = match reason.code {
            FailureCode::LeaseExpired => self.at,
            _ => self.at + retry_delay(made),
        };
        self.step(run, Transition::Requeue, Some(reason))
    }

    /// The publication waits for its next attempt, with a pause. Where no further one can help, or the attempts are
    /// used up, it waits for a requester or operator: a claim passes over a reason that is not retryable.
    pub fn defer_publish(&mut self, run: &mut LockedRun, reason: EventReason) -> Result<(), IllegalTransition> {
        let made = run.publish_retry_attempts - run.publish_attempts_before;
        if !reason.retryable {
            return self.step(run, Transition::DeferPublish, Some(reason));
        }
        if made as u32 >= self.ledger.settings.max_publish_attempts {
            let exhausted = exhausted(FailureCode::PublishRetryExhausted, made, &reason);
            return self.step(run, Transition::DeferPublish, Some(exhausted));
        }
        run.available_at = self.at + retry_delay(made);
        self.step(run, Transition::DeferPublish, Some(reason))
    }
}

fn exhausted(code: FailureCode, made: i32, last: &EventReason) -> EventReason {
    EventReason::new(
        code,
        format!("{made} attempts were made; the last one ended with {}: {}", last.code, last.message),
    )
}

/// 2, 4, 8… seconds, at most five minutes.
fn retry_delay(attempts: i32) -> TimeDelta {
    TimeDelta::seconds((1_i64 << attempts.clamp(1, 9)).min(300))
}
