//! Claims: the oldest run that waits, under a lease with a new fence.

use super::fault::commit_fault;
use super::rows::{Additions, LockedRun, select_run};
use super::types::Lease;
use super::{Fault, Ledger};
use crate::run::{State, Transition};
use chrono::{DateTime, Utc};
use sqlx::Row;
use std::time::{Duration, Instant};

impl Ledger {
    /// Takes one run that waits, or none. Rows that another worker is claiming are passed over. The
    /// attempt is counted here, so that a crash costs one.
    pub async fn claim(&self, worker: &str) -> Result<Option<Lease>, Fault> {
        #[expect(clippy::disallowed_methods, reason = "a lease is held by the worker's own monotonic clock")]
        // The worker's own clock starts before the database's, so it also stops first.
        let asked_at = Instant::now();
        let mut transaction = self.pool.begin().await?;
        let row = sqlx::query(select_run!(
            "WHERE r.available_at <= now()
               AND (r.state = 'QUEUED'
                    OR (r.state = 'PUBLISH_PENDING' AND r.publish_retry_attempts < $1
                        AND NOT EXISTS (SELECT FROM outbox o WHERE o.stream = r.run_id AND o.sent_at IS NULL
                                                               AND o.kind = 'PUBLICATION')))
             ORDER BY r.available_at, r.run_id LIMIT 1 FOR UPDATE OF r SKIP LOCKED"
        ))
        .bind(self.settings.max_publish_attempts as i32)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = row else {
            transaction.rollback().await?;
            return Ok(None);
        };
        let mut run = LockedRun::read(&row)?;
        let at: DateTime<Utc> = sqlx::query("SELECT now()").fetch_one(&mut *transaction).await?.try_get(0)?;
        let read_fence = run.fence;
        run.fence += 1;
        let transition = if run.state == State::Queued {
            run.full_run_attempts += 1;
            Transition::Start
        } else {
            run.publish_retry_attempts += 1;
            Transition::StartPublish
        };
        let mut additions = Additions::default();
        run.step(transition, None, at, worker, &mut additions).map_err(|error| Fault::Refused(error.to_string()))?;
        run.lease_owner = Some(worker.to_owned());
        run.store(&mut transaction, read_fence, Some(self.settings.lease_seconds)).await?;
        additions.store(&mut transaction, worker).await?;
        transaction.commit().await.map_err(commit_fault)?;
        Ok(Some(Lease {
            run_id: run.run_id,
            run_key: run.run_key,
            fence: run.fence,
            mode: run.mode,
            attempt: run.full_run_attempts as u32,
            worker: worker.to_owned(),
            request: run.request,
            publish_allowed: run.publish_allowed,
            refs: run.refs,
            stop_at: asked_at + Duration::from_secs(u64::from(self.settings.lease_seconds)),
        }))
    }
}
