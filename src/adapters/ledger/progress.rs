//! How far a run is: for the ledger's readers, and now and then for the topic.

use super::error::commit_fault;
use super::events::NewEvent;
use super::rows::{LockedRun, select_run, unreadable};
use super::types::Lease;
use super::{Error, Ledger};
use crate::domain::contract::{EventProgress, EventType};

impl Ledger {
    /// Writes down how far the trainer is, with a `run.progress` event where `tell` says so. Says whether it
    /// was written: not where the lease is gone, nor where the row is held by somebody else just now. Never
    /// waits for a lock; the next report comes soon enough.
    pub async fn report_progress(&self, lease: &Lease, progress: &EventProgress, tell: bool) -> Result<bool, Error> {
        let mut transaction = self.pool.begin().await?;
        let row = sqlx::query(select_run!(
            "WHERE r.run_id = $1 AND r.fence = $2 AND r.lease_owner = $3 AND r.lease_expires_at > clock_timestamp()
             FOR UPDATE OF r SKIP LOCKED"
        ))
        .bind(lease.run_id.as_str())
        .bind(lease.fence)
        .bind(&lease.worker)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = row else {
            transaction.rollback().await?;
            return Ok(false);
        };
        let mut run = LockedRun::read(&row)?;
        let mut additions = self.additions();
        if tell {
            let at = super::advance::now(&mut transaction).await?;
            let event = NewEvent { progress: Some(progress.clone()), ..NewEvent::of(EventType::RunProgress, None) };
            run.tell(event, at, &lease.worker, &mut additions);
        }
        sqlx::query("UPDATE runs SET progress = $2, next_seq = $3, updated_at = now() WHERE run_id = $1")
            .bind(lease.run_id.as_str())
            .bind(serde_json::to_value(progress).map_err(|error| unreadable("progress", error))?)
            .bind(run.next_seq)
            .execute(&mut *transaction)
            .await?;
        additions.store(&mut transaction, &lease.worker).await?;
        transaction.commit().await.map_err(commit_fault)?;
        Ok(true)
    }
}
