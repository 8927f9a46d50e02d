//! Rescue: runs of workers that were lost go back to the queue.
//!
//! Fenced like every other write, each run in a transaction of its own: one that cannot be rescued is
//! postponed and told, and never holds up the ones behind it.

use super::advance::now;
use super::rows::{LockedRun, select_run};
use super::{Error, Ledger};
use crate::domain::contract::EventReason;
use crate::domain::identity::RunId;
use crate::domain::run::{ExecutionMode, FailureCode, State};
use crate::failpoints::failpoint;
use crate::telemetry::metrics;
use sqlx::Row;
use tracing::error;

/// How long a row that the ledger itself refuses is left alone.
const POSTPONED_SECONDS: f64 = 60.0;

impl Ledger {
    /// Takes runs whose lease expired away from their workers: back to the queue, or FAIL when the
    /// attempts are used up. Says which, and where they stand now.
    pub async fn requeue_expired(&self, worker: &str, limit: i64) -> Result<Vec<(RunId, State)>, Error> {
        let rows = sqlx::query(
            "SELECT run_id FROM runs WHERE lease_owner IS NOT NULL AND lease_expires_at < clock_timestamp()
             ORDER BY lease_expires_at LIMIT $1",
        )
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let mut taken = Vec::with_capacity(rows.len());
        for row in rows {
            let run_id: String = row.try_get(0)?;
            match self.rescue(&run_id, worker).await {
                Ok(rescued) => taken.extend(rescued),
                Err(Error::Refused(why)) => self.postpone(&run_id, &why).await?,
                Err(error @ (Error::Unavailable(_) | Error::CommitUnknown(_) | Error::Denied(_))) => return Err(error),
            }
        }
        Ok(taken)
    }

    /// One run; none where another rescuer was faster, or its worker has come back.
    async fn rescue(&self, run_id: &str, worker: &str) -> Result<Option<(RunId, State)>, Error> {
        let mut transaction = self.pool.begin().await?;
        let row = sqlx::query(select_run!(
            "WHERE r.run_id = $1 AND r.lease_owner IS NOT NULL AND r.lease_expires_at < clock_timestamp()
             FOR UPDATE OF r SKIP LOCKED"
        ))
        .bind(run_id)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = row else {
            transaction.rollback().await?;
            return Ok(None);
        };
        let at = now(&mut transaction).await?;
        let mut additions = self.additions();
        let mut run = LockedRun::read(&row)?;
        let owner = run.lease_owner.clone().unwrap_or_default();
        let reason = EventReason::new(FailureCode::LeaseExpired, format!("worker {owner} was lost"));
        match run.mode {
            ExecutionMode::PublishOnly => self.defer_publish(&mut run, reason, at, worker, &mut additions),
            ExecutionMode::Full | ExecutionMode::None => self.requeue(&mut run, reason, at, worker, &mut additions),
        }
        .map_err(|error| Error::Refused(error.to_string()))?;
        run.store(&mut transaction, run.fence, None).await?;
        additions.store(&mut transaction, worker).await?;
        failpoint("rescue.taken")?;
        additions.commit(transaction, worker, Some("rescue.committed")).await?;
        Ok(Some((run.run_id, run.state)))
    }

    /// Leaves a run alone for a while that the ledger refuses to read or to write: a defect or a row made
    /// by hand. Somebody has to look at it; the others go on.
    pub(super) async fn postpone(&self, run_id: &str, why: &str) -> Result<(), Error> {
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
