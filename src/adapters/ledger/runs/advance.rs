//! Writes of a worker that holds a run: steps, progress, lineage, giving the run back. Also decides when a run is
//! attempted again.

use super::lease::{Guarded, Lease, Step};
use crate::adapters::ledger::error::unreadable;
use crate::adapters::ledger::outbox::{DatasetsKnown, NewEvent, publication_draft};
use crate::adapters::ledger::row::LockedRun;
use crate::adapters::ledger::transaction::{Precondition, Transaction};
use crate::adapters::ledger::{Error, Ledger};
use crate::domain::contract::{EventProgress, EventReason, EventType};
use crate::domain::identity::RunId;
use crate::domain::run::{ExecutionMode, FailureCode, IllegalTransition, Transition};
use crate::modelling::lineage::DatasetIo;
use crate::telemetry::metrics::{self, StaleWrite};
use chrono::TimeDelta;

impl Ledger {
    /// Takes these steps in one transaction with their events. Returns [`Guarded::Lost`] and writes nothing if the
    /// lease has expired, the fence has moved, or the run's state does not allow a step. A `Requeue` beyond the bound
    /// on attempts becomes FAIL with `ATTEMPTS_EXHAUSTED`. A `RequestPublish` that no request of the run allows is left
    /// out.
    pub async fn advance(&self, lease: &Lease, steps: &[Step]) -> Result<Guarded, Error> {
        let mut transaction = self.begin(&lease.worker).await?;
        let held = Precondition::Held { fence: lease.fence, owner: &lease.worker };
        let Some(mut run) = transaction.lock(lease.run_id.as_str(), held).await? else {
            return lost(transaction, StaleWrite::Step).await;
        };
        for step in steps {
            if transaction.advance(&mut run, step).is_err() {
                return lost(transaction, StaleWrite::Step).await;
            }
        }
        let Ok(()) = transaction.save(&run).await? else { return lost(transaction, StaleWrite::Step).await };
        transaction.commit(Some("advance.taken"), Some("advance.committed")).await?;
        Ok(Guarded::Won(run.state))
    }

    /// Stores the trainer's progress. If `emit` is set, also emits a `run.progress` event. Returns false if nothing was
    /// stored, because the lease is lost or another transaction has locked the row. Never waits for the lock, because
    /// the next progress report follows soon.
    pub async fn report_progress(&self, lease: &Lease, progress: &EventProgress, emit: bool) -> Result<bool, Error> {
        let mut transaction = self.begin(&lease.worker).await?;
        let held = Precondition::HeldAndFree { fence: lease.fence, owner: &lease.worker };
        let Some(mut run) = transaction.lock(lease.run_id.as_str(), held).await? else {
            transaction.rollback().await?;
            return Ok(false);
        };
        if emit {
            let event = NewEvent { progress: Some(progress.clone()), ..NewEvent::of(EventType::RunProgress, None) };
            transaction.emit(&mut run, event);
        }
        sqlx::query("UPDATE runs SET progress = $2, next_seq = $3, updated_at = now() WHERE run_id = $1")
            .bind(lease.run_id.as_str())
            .bind(serde_json::to_value(progress).map_err(|error| unreadable("progress", error))?)
            .bind(run.next_seq)
            .execute(transaction.connection())
            .await?;
        transaction.commit(None, None).await?;
        Ok(true)
    }

    /// Emits the lineage event about the data sets that are known so far. Emits nothing if lineage is off, has emitted
    /// this event already, or has not reported the run's START. Returns [`Guarded::Lost`] if the lease is lost.
    pub async fn emit_lineage(
        &self,
        lease: &Lease,
        known: DatasetsKnown,
        datasets: DatasetIo,
    ) -> Result<Guarded, Error> {
        let mut transaction = self.begin(&lease.worker).await?;
        let held = Precondition::Held { fence: lease.fence, owner: &lease.worker };
        let Some(run) = transaction.lock(lease.run_id.as_str(), held).await? else {
            transaction.rollback().await?;
            return Ok(Guarded::Lost);
        };
        let at = transaction.at;
        transaction.effects.lineage.emit_datasets(&run, known, datasets, at);
        transaction.commit(Some("lineage.told"), None).await?;
        Ok(Guarded::Won(run.state))
    }

    /// Gives a run back because the worker shuts down. The attempt is not counted.
    pub async fn release(&self, lease: &Lease) -> Result<Guarded, Error> {
        self.give_back(lease.run_id.as_str(), lease.fence, &lease.worker).await
    }

    /// Gives back every run that this worker holds, and returns their ids. For a worker that must exit while its work
    /// still runs: without the leases that work can write nothing more.
    pub async fn release_all(&self, worker: &str) -> Result<Vec<RunId>, Error> {
        #[derive(sqlx_macros::FromRow)]
        struct HeldRun {
            run_id: RunId,
            fence: i64,
        }
        let held: Vec<HeldRun> =
            sqlx::query_as("SELECT run_id, fence FROM runs WHERE lease_owner = $1 ORDER BY run_id")
                .bind(worker)
                .fetch_all(&self.pool)
                .await?;
        let mut released = Vec::with_capacity(held.len());
        for HeldRun { run_id, fence } in held {
            if let Guarded::Won(_) = self.give_back(run_id.as_str(), fence, worker).await? {
                released.push(run_id);
            }
        }
        Ok(released)
    }

    async fn give_back(&self, run_id: &str, fence: i64, worker: &str) -> Result<Guarded, Error> {
        let mut transaction = self.begin(worker).await?;
        let Some(mut run) = transaction.lock(run_id, Precondition::Held { fence, owner: worker }).await? else {
            return lost(transaction, StaleWrite::Release).await;
        };
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
        run.available_at = transaction.at;
        if transaction.step(&mut run, transition, None).is_err() {
            return lost(transaction, StaleWrite::Release).await;
        }
        let Ok(()) = transaction.save(&run).await? else { return lost(transaction, StaleWrite::Release).await };
        transaction.commit(None, None).await?;
        Ok(Guarded::Won(run.state))
    }
}

impl Transaction<'_> {
    fn advance(&mut self, run: &mut LockedRun, step: &Step) -> Result<(), IllegalTransition> {
        if step.transition == Transition::RequestPublish && !run.publish_allowed {
            return Ok(());
        }
        if !step.refs.is_empty() {
            run.refs.extend(step.refs.clone());
            run.refs_changed = true;
        }
        self.effects.lineage.datasets.clone_from(&step.lineage);
        match (step.transition, &step.reason) {
            (Transition::Requeue | Transition::DeferPublish, Some(reason)) if step.is_outage => {
                self.wait_out(run, reason.clone())
            }
            (Transition::Requeue, Some(reason)) => {
                run.forget_outage();
                self.requeue(run, reason.clone())
            }
            (Transition::DeferPublish, Some(reason)) => {
                run.forget_outage();
                self.defer_publish(run, reason.clone())
            }
            (transition, reason) => {
                if step.publication.is_some() {
                    // The bundle was read back and verified, so nothing is away any more.
                    run.forget_outage();
                }
                self.step(run, transition, reason.clone())
            }
        }?;
        let publication = step.publication.as_ref().map(|publication| publication_draft(run, publication, self.at));
        self.effects.outbox.extend(publication);
        Ok(())
    }

    /// Puts a run back into the queue after a back-off. If the attempts are used up, takes it to FAIL with
    /// `ATTEMPTS_EXHAUSTED`. After a lost lease there is no back-off, because the lease had to expire first.
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

    /// Makes the publication wait for its next attempt, after a back-off. If the reason is not retryable or the
    /// attempts are used up, the run waits for a requester or operator, because claims skip such runs.
    pub fn defer_publish(&mut self, run: &mut LockedRun, reason: EventReason) -> Result<(), IllegalTransition> {
        let made = run.publish_retry_attempts - run.publish_attempts_before;
        let reason = if !reason.retryable {
            reason
        } else if made as u32 >= self.ledger.settings.max_publish_attempts {
            exhausted(FailureCode::PublishRetryExhausted, made, &reason)
        } else {
            run.available_at = self.at + retry_delay(made);
            reason
        };
        self.step(run, Transition::DeferPublish, Some(reason))
    }
}

async fn lost(transaction: Transaction<'_>, write: StaleWrite) -> Result<Guarded, Error> {
    transaction.rollback().await?;
    metrics::STALE_WRITES.count(write);
    Ok(Guarded::Lost)
}

fn exhausted(code: FailureCode, made: i32, last: &EventReason) -> EventReason {
    let message = format!("{made} attempts were made; the last one ended with {}: {}", last.code, last.message);
    EventReason::new(code, message)
}

/// Returns the back-off before the next attempt: 2, 4, 8… seconds, at most 300.
fn retry_delay(attempts: i32) -> TimeDelta {
    TimeDelta::seconds((1_i64 << attempts.clamp(1, 9)).min(300))
}
