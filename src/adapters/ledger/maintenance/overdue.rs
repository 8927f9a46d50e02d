//! Handles overdue publications: the broker has not acknowledged them in time, or the registry has not replied in time.
//!
//! Each counts as an attempt to publish. A publish-only attempt then verifies the bundle and announces it again, until
//! the attempts are used up. An unsent outbox row is withdrawn. If the record was already on its way and is still
//! acknowledged or confirmed, the acknowledgement or confirmation counts. A publication that no relay has handed over to
//! a broker is never overdue, since the broker was not asked.

use crate::adapters::ledger::transaction::{Precondition, Transaction};
use crate::adapters::ledger::{Error, Ledger};
use crate::domain::contract::EventReason;
use crate::domain::identity::RunId;
use crate::domain::run::{FailureCode, State};

#[derive(sqlx_macros::FromRow)]
struct OverduePublication {
    id: i64,
    /// Id of the run.
    stream: String,
}

impl Ledger {
    /// Withdraws up to `limit` publications that the broker has not acknowledged in time. Returns their runs.
    pub async fn withdraw_overdue(&self, worker: &str, limit: i64) -> Result<Vec<RunId>, Error> {
        let overdue: Vec<OverduePublication> = sqlx::query_as(
            "SELECT id, stream FROM outbox
             WHERE kind = 'PUBLICATION' AND sent_at IS NULL AND withdrawn_at IS NULL
               AND handed_at < now() - make_interval(secs => $1)
             ORDER BY handed_at LIMIT $2",
        )
        .bind(f64::from(self.settings.publish_patience_seconds))
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let mut withdrawn = Vec::with_capacity(overdue.len());
        for OverduePublication { id, stream } in overdue {
            withdrawn.extend(self.withdraw(id, &stream, worker).await?);
        }
        Ok(withdrawn)
    }

    /// Defers up to `limit` publications to which the registry has not replied in time. Returns their runs.
    pub async fn defer_unanswered(&self, worker: &str, limit: i64) -> Result<Vec<RunId>, Error> {
        let overdue: Vec<String> = sqlx::query_scalar(
            "SELECT run_id FROM runs WHERE answer_due_at < now() AND state = 'PUBLISH_PENDING'
             ORDER BY answer_due_at LIMIT $1",
        )
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let mut deferred = Vec::with_capacity(overdue.len());
        for run_id in overdue {
            deferred.extend(self.defer_one_unanswered(&run_id, worker).await?);
        }
        Ok(deferred)
    }

    /// Defers one publication. `None` if the registry has replied in the meantime.
    async fn defer_one_unanswered(&self, run_id: &str, worker: &str) -> Result<Option<RunId>, Error> {
        let mut transaction = self.begin(worker).await?;
        let Some(mut run) = transaction.lock(run_id, Precondition::Unanswered).await? else {
            return nothing(transaction).await;
        };
        let seconds = self.publish.registry_patience_seconds;
        let message = format!("the registry did not answer the publication within {seconds} seconds");
        transaction.defer_publish(&mut run, EventReason::new(FailureCode::PublishUnavailable, message))?;
        let Ok(()) = transaction.save(&run).await? else { return nothing(transaction).await };
        transaction.commit(None, None).await?;
        Ok(Some(run.run_id))
    }

    /// Withdraws one publication. `None` if it was acknowledged or withdrawn in the meantime. Locks the outbox row
    /// before the run, in the same order as the relay when it marks a record as sent.
    async fn withdraw(&self, id: i64, run_id: &str, worker: &str) -> Result<Option<RunId>, Error> {
        let mut transaction = self.begin(worker).await?;
        let done = sqlx::query(
            "UPDATE outbox SET withdrawn_at = now() WHERE id = $1 AND sent_at IS NULL AND withdrawn_at IS NULL",
        )
        .bind(id)
        .execute(transaction.connection())
        .await?;
        if done.rows_affected() == 0 {
            return nothing(transaction).await;
        }
        let mut run = transaction.lock_named(run_id).await?;
        if run.state == State::PublishPending {
            let seconds = self.settings.publish_patience_seconds;
            let message = format!("the broker did not acknowledge the publication within {seconds} seconds");
            transaction.defer_publish(&mut run, EventReason::new(FailureCode::PublishUnavailable, message))?;
            let Ok(()) = transaction.save(&run).await? else { return nothing(transaction).await };
        }
        transaction.commit(Some("withdraw.taken"), Some("withdraw.committed")).await?;
        Ok(Some(run.run_id))
    }
}

async fn nothing(transaction: Transaction<'_>) -> Result<Option<RunId>, Error> {
    transaction.rollback().await?;
    Ok(None)
}
