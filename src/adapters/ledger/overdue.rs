//! Publications that the broker has not acknowledged in time, or the registry not answered.
//!
//! Each counts as a failed attempt: a publish-only attempt verifies the bundle and announces it again, until
//! the attempts are used up. What still stands in the outbox is withdrawn from it. One that was on its way
//! and is acknowledged or confirmed after all still counts.

use super::advance::now;
use super::rows::{LockedRun, select_run};
use super::{Error, Ledger};
use crate::domain::contract::EventReason;
use crate::domain::identity::RunId;
use crate::domain::run::{FailureCode, State};
use crate::failpoints::failpoint;
use sqlx::Row;

impl Ledger {
    /// Withdraws up to `limit` of them; says of which runs.
    pub async fn withdraw_overdue(&self, worker: &str, limit: i64) -> Result<Vec<RunId>, Error> {
        let rows = sqlx::query(
            "SELECT id, stream FROM outbox
             WHERE kind = 'PUBLICATION' AND sent_at IS NULL AND withdrawn_at IS NULL
               AND created_at < now() - make_interval(secs => $1)
             ORDER BY created_at LIMIT $2",
        )
        .bind(f64::from(self.settings.publish_patience_seconds))
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let mut withdrawn = Vec::with_capacity(rows.len());
        for row in rows {
            withdrawn.extend(self.withdraw(row.try_get(0)?, &row.try_get::<String, _>(1)?, worker).await?);
        }
        Ok(withdrawn)
    }

    /// Stops waiting for the registry where it has not answered in time, of up to `limit` runs; says of
    /// which. Its answer counts whenever it comes.
    pub async fn give_up_answers(&self, worker: &str, limit: i64) -> Result<Vec<RunId>, Error> {
        let rows = sqlx::query(
            "SELECT run_id FROM runs WHERE answer_due_at < now() AND state = 'PUBLISH_PENDING'
             ORDER BY answer_due_at LIMIT $1",
        )
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let mut given_up = Vec::with_capacity(rows.len());
        for row in rows {
            given_up.extend(self.give_up_answer(&row.try_get::<String, _>(0)?, worker).await?);
        }
        Ok(given_up)
    }

    /// One; none where the answer came in the meantime.
    async fn give_up_answer(&self, run_id: &str, worker: &str) -> Result<Option<RunId>, Error> {
        let mut transaction = self.pool.begin().await?;
        let row = sqlx::query(select_run!(
            "WHERE r.run_id = $1 AND r.answer_due_at < now() AND r.state = 'PUBLISH_PENDING' FOR UPDATE OF r"
        ))
        .bind(run_id)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = row else {
            transaction.rollback().await?;
            return Ok(None);
        };
        let at = now(&mut transaction).await?;
        let mut run = LockedRun::read(&row)?;
        let mut additions = self.additions();
        let seconds = self.publish.registry_patience_seconds;
        let message = format!("the registry did not answer the publication within {seconds} seconds");
        let reason = EventReason::new(FailureCode::PublishUnavailable, message);
        self.defer_publish(&mut run, reason, at, worker, &mut additions)
            .map_err(|error| Error::Refused(error.to_string()))?;
        run.store(&mut transaction, run.fence, None).await?;
        additions.store(&mut transaction, worker).await?;
        additions.commit(transaction, worker, None).await?;
        Ok(Some(run.run_id))
    }

    /// One; none where it was acknowledged or withdrawn in the meantime. Locks the record before the run, as
    /// the relay does when it marks one as sent.
    async fn withdraw(&self, id: i64, run_id: &str, worker: &str) -> Result<Option<RunId>, Error> {
        let mut transaction = self.pool.begin().await?;
        let done = sqlx::query(
            "UPDATE outbox SET withdrawn_at = now() WHERE id = $1 AND sent_at IS NULL AND withdrawn_at IS NULL",
        )
        .bind(id)
        .execute(&mut *transaction)
        .await?;
        if done.rows_affected() == 0 {
            transaction.rollback().await?;
            return Ok(None);
        }
        let row = sqlx::query(select_run!("WHERE r.run_id = $1 FOR UPDATE OF r"))
            .bind(run_id)
            .fetch_one(&mut *transaction)
            .await?;
        let at = now(&mut transaction).await?;
        let mut run = LockedRun::read(&row)?;
        let mut additions = self.additions();
        if run.state == State::PublishPending {
            let seconds = self.settings.publish_patience_seconds;
            let message = format!("the broker did not acknowledge the publication within {seconds} seconds");
            let reason = EventReason::new(FailureCode::PublishUnavailable, message);
            self.defer_publish(&mut run, reason, at, worker, &mut additions)
                .map_err(|error| Error::Refused(error.to_string()))?;
            run.store(&mut transaction, run.fence, None).await?;
            additions.store(&mut transaction, worker).await?;
        }
        failpoint("withdraw.taken")?;
        additions.commit(transaction, worker, Some("withdraw.committed")).await?;
        Ok(Some(run.run_id))
    }
}
