//! Writes of a worker that holds a run: steps, and giving it back.

use super::held::{Guarded, Lease, Step};
use crate::adapters::ledger::outbox::publication_draft;
use crate::adapters::ledger::row::LockedRun;
use crate::adapters::ledger::transaction::{Precondition, Transaction};
use crate::adapters::ledger::{Error, Ledger};
use crate::domain::identity::RunId;
use crate::domain::run::{ExecutionMode, IllegalTransition, Transition};
use crate::telemetry::metrics::{self, StaleWrite};

impl Ledger {
    /// Takes these steps in one transaction with their events. [`Guarded::Lost`] if the lease has expired, the fence
    /// has moved, or the run is not where a step needs it: then nothing was written.
    ///
    /// A `Requeue` beyond the bound on attempts becomes FAIL with `ATTEMPTS_EXHAUSTED`. A `RequestPublish` is left out
    /// where no request of the run allows publication.
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

    /// Gives a run back without costing an attempt: the worker shuts down.
    pub async fn release(&self, lease: &Lease) -> Result<Guarded, Error> {
        self.give_back(lease.run_id.as_str(), lease.fence, &lease.worker).await
    }

    /// Gives back every run that this worker holds and returns their ids. For a worker that has to end and could not
    /// stop its work: the fence keeps that work from writing.
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
        run.refs.extend(step.refs.clone());
        self.effects.lineage.datasets.clone_from(&step.lineage);
        match (step.transition, &step.reason) {
            (Transition::Requeue, Some(reason)) => self.requeue(run, reason.clone()),
            (Transition::DeferPublish, Some(reason)) => self.defer_publish(run, reason.clone()),
            (transition, reason) => self.step(run, transition, reason.clone()),
        }?;
        let publication = step.publication.as_ref().map(|publication| publication_draft(run, publication, self.at));
        self.effects.outbox.extend(publication);
        Ok(())
    }
}

async fn lost(transaction: Transaction<'_>, write: StaleWrite) -> Result<Guarded, Error> {
    transaction.rollback().await?;
    metrics::STALE_WRITES.count(write);
    Ok(Guarded::Lost)
}
