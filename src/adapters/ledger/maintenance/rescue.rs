//! Rescue: puts runs whose worker was lost back into the queue.
//!
//! Each run is rescued under its fence, in a separate transaction. A run that cannot be rescued is postponed and
//! logged, so that it does not hold up the other runs.

use crate::adapters::ledger::transaction::Precondition;
use crate::adapters::ledger::{Error, Ledger};
use crate::domain::contract::EventReason;
use crate::domain::identity::RunId;
use crate::domain::run::{ExecutionMode, FailureCode, State};
use crate::telemetry::metrics;
use tracing::error;

const POSTPONED_SECONDS: f64 = 60.0;

impl Ledger {
    /// Takes up to `limit` runs with an expired lease from their workers. Each goes back to the queue, or to FAIL if
    /// its attempts are used up. Returns the runs with their new states.
    ///
    /// A lease of `worker` itself expired only because the ledger or the machine was slow, since the worker lives. Such
    /// an attempt does not count while the run's patience lasts.
    pub async fn requeue_expired(&self, worker: &str, limit: i64) -> Result<Vec<(RunId, State)>, Error> {
        // Reads ids as text, so that an id that cannot be parsed does not hold up the other runs.
        let expired: Vec<String> = sqlx::query_scalar(
            "SELECT run_id FROM runs WHERE lease_owner IS NOT NULL AND lease_expires_at < clock_timestamp()
             ORDER BY lease_expires_at LIMIT $1",
        )
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let mut taken = Vec::with_capacity(expired.len());
        for run_id in expired {
            match self.rescue(&run_id, worker).await {
                Ok(rescued) => taken.extend(rescued),
                Err(Error::Refused(why) | Error::Unfit(why)) => self.postpone(&run_id, &why).await?,
                Err(
                    error @ (Error::Unavailable(_) | Error::TimedOut(_) | Error::CommitUnknown(_) | Error::Denied(_)),
                ) => return Err(error),
            }
        }
        Ok(taken)
    }

    /// Rescues one run. `None` if another rescuer was faster, or the run's worker has renewed the lease.
    async fn rescue(&self, run_id: &str, worker: &str) -> Result<Option<(RunId, State)>, Error> {
        let mut transaction = self.begin(worker).await?;
        let Some(mut run) = transaction.lock(run_id, Precondition::Expired).await? else {
            transaction.rollback().await?;
            return Ok(None);
        };
        let owner = run.lease_owner.clone().unwrap_or_default();
        let is_own = owner == worker;
        let what = if is_own { "could not renew its lease in time" } else { "was lost" };
        let reason = EventReason::new(FailureCode::LeaseExpired, format!("worker {owner} {what}"));
        match run.mode {
            _ if is_own => transaction.wait_out(&mut run, reason),
            ExecutionMode::PublishOnly => transaction.defer_publish(&mut run, reason),
            ExecutionMode::Full | ExecutionMode::None => transaction.requeue(&mut run, reason),
        }?;
        let Ok(()) = transaction.save(&run).await? else {
            transaction.rollback().await?;
            return Ok(None);
        };
        transaction.commit(Some("rescue.taken"), Some("rescue.committed")).await?;
        Ok(Some((run.run_id, run.state)))
    }

    /// Postpones by one minute a run that the ledger refuses to read or write, so that other runs go on. The cause is a
    /// defect or a row written by hand, and a person has to look at it.
    pub(in crate::adapters::ledger) async fn postpone(&self, run_id: &str, why: &str) -> Result<(), Error> {
        error!(run.id = run_id, why, "the ledger refuses this run; it is left alone for a minute");
        metrics::RUNS_POSTPONED.count(());
        sqlx::query(
            "UPDATE runs SET available_at = clock_timestamp() + make_interval(secs => $2),
                 lease_expires_at = CASE WHEN lease_owner IS NULL THEN NULL
                                         ELSE clock_timestamp() + make_interval(secs => $2) END
             WHERE run_id = $1 AND (lease_owner IS NULL OR lease_expires_at < clock_timestamp())",
        )
        .bind(run_id)
        .bind(POSTPONED_SECONDS)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
