//! What requesters and operators may have done with a run: cancel it, announce its bundle again, put it
//! back into the queue. Every act is recorded with its actor and reason, refused ones too.

use super::advance::now;
use super::audit_log::Cause;
use super::rows::{Additions, LockedRun, select_run};
use super::{Error, Ledger};
use crate::domain::contract::{ActKind, ActReason, Actor, ActorKind, EventReason};
use crate::domain::identity::RunId;
use crate::domain::run::{ExecutionMode, FailureCode, State, Transition};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Stop the run: at once while it is queued, at the next heartbeat while it is worked on.
    Cancel,
    /// Announce the bundle again, with a fresh bound on attempts. Never trains.
    RetryPublish,
    /// Take a run away from its worker, or open a failed one again; a fresh bound on attempts. For
    /// operators.
    Requeue,
}

impl Act {
    /// The name in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "CANCEL",
            Self::RetryPublish => "RETRY_PUBLISH",
            Self::Requeue => "REQUEUE",
        }
    }

    /// The name in the audit log.
    fn told(self) -> ActKind {
        match self {
            Self::Cancel => ActKind::CancelRequested,
            Self::RetryPublish => ActKind::PublishRetryRequested,
            Self::Requeue => ActKind::RequeueRequested,
        }
    }

    /// Whether a bundle is announced by it.
    pub(super) fn publishes(self) -> bool {
        match self {
            Self::RetryPublish => true,
            Self::Cancel | Self::Requeue => false,
        }
    }
}

/// An act with who wants it and why.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// What is to be done.
    pub act: Act,
    /// Who wants it.
    pub actor: &'a str,
    /// ActReason.
    pub why: &'a str,
}

/// ActReason an act was not possible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ActRefused {
    /// The code.
    pub code: FailureCode,
    /// What stands in the way.
    pub message: String,
}

/// An act to be stored.
#[derive(Debug)]
pub(super) struct ActDraft {
    run_id: RunId,
    act: Act,
    actor: String,
    reason: String,
    refused: Option<FailureCode>,
}

impl Ledger {
    /// Does it, or says why not. `None` where there is no such run.
    pub async fn act(&self, run_id: &RunId, order: Order<'_>) -> Result<Option<Result<State, ActRefused>>, Error> {
        let mut transaction = self.pool.begin().await?;
        let row = sqlx::query(select_run!("WHERE r.run_id = $1 FOR UPDATE OF r"))
            .bind(run_id.as_str())
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(row) = row else {
            transaction.rollback().await?;
            return Ok(None);
        };
        let mut run = LockedRun::read(&row)?;
        let at = now(&mut transaction).await?;
        let by = format!("operator:{}", order.actor);
        let mut additions = self.additions().because(Cause::of(Actor::new(ActorKind::Operator, order.actor)));
        let done = run.act(order, at, &by, &mut additions).map(|()| run.state);
        run.store(&mut transaction, run.fence, None).await?;
        additions.store(&mut transaction, &by).await?;
        additions.commit(transaction, &by, None).await?;
        Ok(Some(done))
    }
}

impl LockedRun {
    /// Does it in memory, and has it recorded either way.
    pub(super) fn act(
        &mut self,
        order: Order<'_>,
        at: DateTime<Utc>,
        worker: &str,
        additions: &mut Additions,
    ) -> Result<(), ActRefused> {
        let done = match order.act {
            Act::Cancel => self.cancel(order, at, worker, additions),
            Act::RetryPublish => self.retry_publish(at),
            Act::Requeue => self.requeue_by_hand(order, at, worker, additions),
        };
        let told = additions.act(order.act.told(), Some(self), worker);
        told.refused = done.as_ref().err().map(|refused| refused.code);
        told.reason = Some(ActReason::said(order.why));
        additions.acts.push(ActDraft {
            run_id: self.run_id.clone(),
            act: order.act,
            actor: order.actor.to_owned(),
            reason: order.why.to_owned(),
            refused: done.as_ref().err().map(|refused| refused.code),
        });
        done
    }

    fn cancel(
        &mut self,
        order: Order<'_>,
        at: DateTime<Utc>,
        worker: &str,
        additions: &mut Additions,
    ) -> Result<(), ActRefused> {
        match (self.state, self.mode) {
            (State::Queued, _) => {
                let message = format!("{} cancelled it: {}", order.actor, order.why);
                let reason = EventReason::new(FailureCode::Cancelled, message);
                self.step(Transition::Cancel, Some(reason), at, worker, additions)
                    .expect("a queued run may be cancelled");
                Ok(())
            }
            (State::Running | State::EvalReady, ExecutionMode::Full) => {
                self.cancel_requested = true;
                Ok(())
            }
            (state, _) => {
                let message = format!("it is {state}: there is nothing left to cancel");
                Err(self.refuse(FailureCode::CommandNotApplicable, &message))
            }
        }
    }

    fn retry_publish(&mut self, at: DateTime<Utc>) -> Result<(), ActRefused> {
        match self.state {
            State::PublishPending => {
                self.available_at = at;
                self.publish_attempts_before = self.publish_retry_attempts;
                self.reason = None;
                Ok(())
            }
            state => Err(self.refuse(FailureCode::PublishNotPending, &format!("it is {state}"))),
        }
    }

    fn requeue_by_hand(
        &mut self,
        order: Order<'_>,
        at: DateTime<Utc>,
        worker: &str,
        additions: &mut Additions,
    ) -> Result<(), ActRefused> {
        let says =
            |code: FailureCode, what: &str| EventReason::new(code, format!("{what} by {}: {}", order.actor, order.why));
        let failed_with = self.reason.as_ref().and_then(|(code, _)| code.parse::<FailureCode>().ok());
        let (transition, reason) = match (self.state, self.mode, failed_with) {
            (State::Running | State::EvalReady, ExecutionMode::Full, _) => {
                (Transition::Requeue, says(FailureCode::LeaseExpired, "taken from its worker"))
            }
            (State::Running, ExecutionMode::PublishOnly, _) => {
                (Transition::DeferPublish, says(FailureCode::LeaseExpired, "taken from its worker"))
            }
            (State::Fail, _, Some(code)) if may_reopen(code) => (Transition::Reopen, says(code, "opened again")),
            (State::Fail, _, Some(code)) => {
                let message = format!("it failed with {code}: the same inputs would fail again");
                return Err(self.refuse(code, &message));
            }
            (state, ..) => return Err(self.refuse(FailureCode::CommandNotApplicable, &format!("it is {state}"))),
        };
        self.full_attempts_before = self.full_run_attempts;
        self.publish_attempts_before = self.publish_retry_attempts;
        self.available_at = at;
        self.step(transition, Some(reason), at, worker, additions).expect("the states above allow it");
        Ok(())
    }

    fn refuse(&self, code: FailureCode, what: &str) -> ActRefused {
        ActRefused { code, message: format!("{}: {what}", self.run_id) }
    }
}

/// Failures of the world around a run, which an operator can mend. What follows from its inputs stays.
fn may_reopen(code: FailureCode) -> bool {
    code.is_retryable()
        || matches!(code, FailureCode::AttemptsExhausted | FailureCode::Cancelled | FailureCode::TrainerFailed)
}

/// Inserts the acts in order.
pub(super) async fn store_acts(connection: &mut PgConnection, acts: &[ActDraft]) -> Result<(), Error> {
    if acts.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO acts (run_id, act, actor, reason, refused_code, at)
         SELECT a.run_id, a.act, a.actor, a.reason, a.refused, now()
         FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
              WITH ORDINALITY AS a (run_id, act, actor, reason, refused, line)
         ORDER BY a.line",
    )
    .bind(acts.iter().map(|act| act.run_id.to_string()).collect::<Vec<_>>())
    .bind(acts.iter().map(|act| act.act.as_str().to_owned()).collect::<Vec<_>>())
    .bind(acts.iter().map(|act| act.actor.clone()).collect::<Vec<_>>())
    .bind(acts.iter().map(|act| act.reason.clone()).collect::<Vec<_>>())
    .bind(acts.iter().map(|act| act.refused.map(|code| code.as_str().to_owned())).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::run::Aftermath;

    #[test]
    fn people_are_told_to_open_again_only_what_opens() {
        for &code in FailureCode::ALL {
            for left in code.guidance().leaves {
                match left {
                    Aftermath::Ended => assert!(!may_reopen(code), "{code} opens again, and its text denies it"),
                    Aftermath::Reopenable => assert!(may_reopen(code), "{code} does not open again"),
                    _ => {}
                }
            }
        }
    }
}
