//! Commands of requesters and operators: cancel a run, announce its bundle again, requeue it. Every command is stored
//! with its actor and reason, even if it is refused.

use crate::adapters::ledger::effects::{Cause, CommandDraft};
use crate::adapters::ledger::row::LockedRun;
use crate::adapters::ledger::transaction::{Precondition, Transaction};
use crate::adapters::ledger::{Error, Ledger};
use crate::domain::contract::{ActKind, ActReason, Actor, ActorKind, EventReason};
use crate::domain::identity::RunId;
use crate::domain::run::{ExecutionMode, FailureCode, State, Transition};

#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum RunCommand {
    /// Stops the run. A queued run stops at once. If a worker holds the run, it stops at the next renewal of the lease.
    Cancel,
    /// Announces the bundle again. Attempts are counted from zero again. Never trains.
    RetryPublish,
    /// Takes a run from its worker, or reopens a run in FAIL. Attempts are counted from zero again. For operators only.
    Requeue,
}

impl RunCommand {
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    pub fn act(self) -> ActKind {
        match self {
            Self::Cancel => ActKind::CancelRequested,
            Self::RetryPublish => ActKind::PublishRetryRequested,
            Self::Requeue => ActKind::RequeueRequested,
        }
    }

    pub fn of(act: ActKind) -> Option<Self> {
        [Self::Cancel, Self::RetryPublish, Self::Requeue].into_iter().find(|command| command.act() == act)
    }
}

#[derive(Debug, Clone, Copy)]
pub struct CommandRequest<'a> {
    pub command: RunCommand,
    pub actor: &'a str,
    pub why: &'a str,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct CommandRefused {
    pub code: FailureCode,
    pub message: String,
}

impl Ledger {
    /// Carries out an operator's command, or refuses it. `None` if there is no such run.
    pub async fn command(
        &self,
        run_id: &RunId,
        request: CommandRequest<'_>,
    ) -> Result<Option<Result<State, CommandRefused>>, Error> {
        let by = format!("operator:{}", request.actor);
        let mut transaction = self.begin(&by).await?;
        let Some(mut run) = transaction.lock(run_id.as_str(), Precondition::Any).await? else {
            transaction.rollback().await?;
            return Ok(None);
        };
        transaction.effects.cause = Some(Cause::of(Actor::new(ActorKind::Operator, request.actor)));
        let done = transaction.command(&mut run, request).map(|()| run.state);
        transaction.save(&run).await??;
        transaction.commit(None, None).await?;
        Ok(Some(done))
    }
}

impl Transaction<'_> {
    /// Carries out a command on a locked run, or refuses it. Records the command in both cases.
    pub fn command(&mut self, run: &mut LockedRun, request: CommandRequest<'_>) -> Result<(), CommandRefused> {
        let done = match request.command {
            RunCommand::Cancel => self.cancel(run, request),
            RunCommand::RetryPublish => self.retry_publish(run),
            RunCommand::Requeue => self.requeue_by_hand(run, request),
        };
        let refused = done.as_ref().err().map(|refused| refused.code);
        let act = self.append(request.command.act(), Some(run));
        act.refused = refused;
        act.reason = Some(ActReason::said(request.why));
        self.effects.commands.push(CommandDraft {
            run_id: run.run_id.clone(),
            act: request.command.as_str(),
            actor: request.actor.to_owned(),
            reason: request.why.to_owned(),
            refused,
        });
        done
    }

    fn cancel(&mut self, run: &mut LockedRun, request: CommandRequest<'_>) -> Result<(), CommandRefused> {
        match (run.state, run.mode) {
            (State::Queued, _) => {
                let message = format!("{} cancelled it: {}", request.actor, request.why);
                let reason = EventReason::new(FailureCode::Cancelled, message);
                self.step(run, Transition::Cancel, Some(reason)).expect("a queued run may be cancelled");
                Ok(())
            }
            (State::Running | State::EvalReady, ExecutionMode::Full) => {
                run.cancel_requested = true;
                Ok(())
            }
            (state, _) => {
                let message = format!("it is {state}: there is nothing left to cancel");
                Err(refused(run, FailureCode::CommandNotApplicable, &message))
            }
        }
    }

    fn retry_publish(&mut self, run: &mut LockedRun) -> Result<(), CommandRefused> {
        match run.state {
            State::PublishPending => {
                run.available_at = self.at;
                run.publish_attempts_before = run.publish_retry_attempts;
                run.forget_outage();
                run.clear_reason();
                Ok(())
            }
            state => Err(refused(run, FailureCode::PublishNotPending, &format!("it is {state}"))),
        }
    }

    fn requeue_by_hand(&mut self, run: &mut LockedRun, request: CommandRequest<'_>) -> Result<(), CommandRefused> {
        let reason = |code: FailureCode, what: &str| {
            EventReason::new(code, format!("{what} by {}: {}", request.actor, request.why))
        };
        let failed_with = run.reason_code.as_deref().and_then(|code| code.parse::<FailureCode>().ok());
        let (transition, reason) = match (run.state, run.mode, failed_with) {
            (State::Running | State::EvalReady, ExecutionMode::Full, _) => {
                (Transition::Requeue, reason(FailureCode::LeaseExpired, "taken from its worker"))
            }
            (State::Running, ExecutionMode::PublishOnly, _) => {
                (Transition::DeferPublish, reason(FailureCode::LeaseExpired, "taken from its worker"))
            }
            (State::Fail, _, Some(code)) if may_reopen(code) => (Transition::Reopen, reason(code, "opened again")),
            (State::Fail, _, Some(code)) => {
                let message = format!("it failed with {code}: the same inputs would fail again");
                return Err(refused(run, code, &message));
            }
            (state, ..) => return Err(refused(run, FailureCode::CommandNotApplicable, &format!("it is {state}"))),
        };
        run.full_attempts_before = run.full_run_attempts;
        run.publish_attempts_before = run.publish_retry_attempts;
        run.forget_outage();
        run.available_at = self.at;
        self.step(run, transition, Some(reason)).expect("the states above allow it");
        Ok(())
    }
}

fn refused(run: &LockedRun, code: FailureCode, what: &str) -> CommandRefused {
    CommandRefused { code, message: format!("{}: {what}", run.run_id) }
}

/// Returns whether an operator may reopen a run that ended with this code. The cause must lie outside the run's inputs,
/// so that an operator can mend it.
fn may_reopen(code: FailureCode) -> bool {
    code.is_retryable()
        || matches!(
            code,
            FailureCode::AttemptsExhausted
                | FailureCode::Cancelled
                | FailureCode::TrainerFailed
                | FailureCode::RequesterNotAllowed
        )
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
