//! Guarded writes of a worker that holds a run.

use super::events::publication_draft;
use super::rows::{Additions, LockedRun, select_run, unreadable};
use super::types::{Guarded, Lease, Step};
use super::{Error, Ledger};
use crate::domain::contract::EventReason;
use crate::domain::identity::RunId;
use crate::domain::run::{ExecutionMode, FailureCode, Transition};
use crate::failpoints::failpoint;
use crate::telemetry::metrics::{self, StaleWrite};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, Row};

impl Ledger {
    /// Takes these steps in one transaction with their events. [`Guarded::Lost`] if the lease expired,
    /// the fence moved, or the run is not where a step needs it: then nothing was written.
    ///
    /// A `Requeue` beyond the bound on attempts becomes FAIL with `ATTEMPTS_EXHAUSTED`. A
    /// `RequestPublish` where no request of the run allows publication is left out.
    pub async fn advance(&self, lease: &Lease, steps: &[Step]) -> Result<Guarded, Error> {
        let guarded = self.take_steps(lease, steps).await?;
        count_refused(StaleWrite::Step, guarded);
        Ok(guarded)
    }

    async fn take_steps(&self, lease: &Lease, steps: &[Step]) -> Result<Guarded, Error> {
        let mut transaction = self.pool.begin().await?;
        let held = (lease.run_id.as_str(), lease.fence);
        let Some((mut run, at)) = hold(&mut transaction, held, &lease.worker).await? else {
            transaction.rollback().await?;
            return Ok(Guarded::Lost);
        };
        let mut additions = self.additions();
        for step in steps {
            if step.transition == Transition::RequestPublish && !run.publish_allowed {
                continue;
            }
            run.refs.extend(step.refs.clone());
            additions.account.clone_from(&step.lineage);
            let taken = match (step.transition, &step.reason) {
                (Transition::Requeue, Some(reason)) => {
                    self.requeue(&mut run, reason.clone(), at, &lease.worker, &mut additions)
                }
                (Transition::DeferPublish, Some(reason)) => {
                    self.defer_publish(&mut run, reason.clone(), at, &lease.worker, &mut additions)
                }
                (transition, reason) => run.step(transition, reason.clone(), at, &lease.worker, &mut additions),
            };
            if taken.is_err() {
                transaction.rollback().await?;
                return Ok(Guarded::Lost);
            }
            if let Some(publication) = &step.publication {
                additions.outbox.push(publication_draft(&run, publication, at));
            }
        }
        let state = run.state;
        if !run.store(&mut transaction, lease.fence, None).await? {
            transaction.rollback().await?;
            return Ok(Guarded::Lost);
        }
        additions.store(&mut transaction, &lease.worker).await?;
        failpoint("advance.taken")?;
        additions.commit(transaction, &lease.worker, Some("advance.committed")).await?;
        Ok(Guarded::Won(state))
    }

    /// Gives a run back without costing an attempt: the worker is shutting down.
    pub async fn release(&self, lease: &Lease) -> Result<Guarded, Error> {
        self.give_back((lease.run_id.as_str(), lease.fence), &lease.worker).await
    }

    /// Gives back every run that this worker holds, whatever it is doing with it; says which. A worker that has
    /// to end and could not stop its work: the fence keeps that work from writing.
    pub async fn release_all(&self, worker: &str) -> Result<Vec<RunId>, Error> {
        let rows = sqlx::query("SELECT run_id, fence FROM runs WHERE lease_owner = $1 ORDER BY run_id")
            .bind(worker)
            .fetch_all(&self.pool)
            .await?;
        let mut released = Vec::with_capacity(rows.len());
        for row in rows {
            let run_id: String = row.try_get(0)?;
            if let Guarded::Won(_) = self.give_back((&run_id, row.try_get(1)?), worker).await? {
                released.push(run_id.parse().map_err(|error| unreadable("run id", error))?);
            }
        }
        Ok(released)
    }

    async fn give_back(&self, held: (&str, i64), worker: &str) -> Result<Guarded, Error> {
        let mut transaction = self.pool.begin().await?;
        let Some((mut run, at)) = hold(&mut transaction, held, worker).await? else {
            transaction.rollback().await?;
            count_refused(StaleWrite::Release, Guarded::Lost);
            return Ok(Guarded::Lost);
        };
        let mut additions = self.additions();
        let transition = match run.mode {
            ExecutionMode::PublishOnly => {
                run.publish_retry_attempts -= 1;
                Transition::DeferPublish
            }
            ExecutionMode::Full | ExecutionMode::None => {
                run.full_run_attempts -= 1;
                Transition::Requeue
            }
        };
        run.available_at = at;
        if run.step(transition, None, at, worker, &mut additions).is_err() {
            transaction.rollback().await?;
            return Ok(Guarded::Lost);
        }
        run.store(&mut transaction, held.1, None).await?;
        additions.store(&mut transaction, worker).await?;
        additions.commit(transaction, worker, None).await?;
        Ok(Guarded::Won(run.state))
    }

    /// Back to the queue with backoff, or parked when the attempts are used up. A lost worker's run does
    /// not wait: its lease was wait enough.
    pub(super) fn requeue(
        &self,
        run: &mut LockedRun,
        reason: EventReason,
        at: DateTime<Utc>,
        worker: &str,
        additions: &mut Additions,
    ) -> Result<(), crate::domain::run::IllegalTransition> {
        let made = run.full_run_attempts - run.full_attempts_before;
        if made as u32 >= self.settings.max_full_attempts {
            let message =
                format!("{made} attempts were made; the last one ended with {}: {}", reason.code, reason.message);
            let exhausted = EventReason::new(FailureCode::AttemptsExhausted, message);
            return run.step(Transition::Fail, Some(exhausted), at, worker, additions);
        }
        run.available_at = match reason.code {
            FailureCode::LeaseExpired => at,
            _ => at + retry_delay(made),
        };
        run.step(Transition::Requeue, Some(reason), at, worker, additions)
    }

    /// The publication waits for its next attempt, with backoff; or, when no further one can help or the
    /// attempts are used up, for a requester or operator who asks again: `claim` passes over a reason
    /// that is not retryable.
    pub(super) fn defer_publish(
        &self,
        run: &mut LockedRun,
        reason: EventReason,
        at: DateTime<Utc>,
        worker: &str,
        additions: &mut Additions,
    ) -> Result<(), crate::domain::run::IllegalTransition> {
        let made = run.publish_retry_attempts - run.publish_attempts_before;
        if !reason.retryable {
            return run.step(Transition::DeferPublish, Some(reason), at, worker, additions);
        }
        if made as u32 >= self.settings.max_publish_attempts {
            let message =
                format!("{made} attempts were made; the last one ended with {}: {}", reason.code, reason.message);
            let exhausted = EventReason::new(FailureCode::PublishRetryExhausted, message);
            return run.step(Transition::DeferPublish, Some(exhausted), at, worker, additions);
        }
        run.available_at = at + retry_delay(made);
        run.step(Transition::DeferPublish, Some(reason), at, worker, additions)
    }
}

fn count_refused(kind: StaleWrite, guarded: Guarded) {
    if guarded == Guarded::Lost {
        metrics::STALE_WRITES.count(kind);
    }
}

/// 2, 4, 8… seconds, at most five minutes.
fn retry_delay(attempts: i32) -> TimeDelta {
    TimeDelta::seconds((1_i64 << attempts.clamp(1, 9)).min(300))
}

pub(super) async fn now(connection: &mut PgConnection) -> Result<DateTime<Utc>, Error> {
    Ok(sqlx::query("SELECT now()").fetch_one(connection).await?.try_get(0)?)
}

/// Locks the run of a lease that still holds.
pub(super) async fn hold(
    connection: &mut PgConnection,
    (run_id, fence): (&str, i64),
    worker: &str,
) -> Result<Option<(LockedRun, DateTime<Utc>)>, Error> {
    let row = sqlx::query(select_run!(
        "WHERE r.run_id = $1 AND r.fence = $2 AND r.lease_owner = $3 AND r.lease_expires_at > clock_timestamp()
         FOR UPDATE OF r"
    ))
    .bind(run_id)
    .bind(fence)
    .bind(worker)
    .fetch_optional(&mut *connection)
    .await?;
    match row {
        Some(row) => Ok(Some((LockedRun::read(&row)?, now(connection).await?))),
        None => Ok(None),
    }
}
