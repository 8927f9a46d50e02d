//! Claims: whose turn it is, under a lease with a new fence.
//!
//! Publications that wait come first: their training is paid for. Then the highest priority, then the
//! tenant that has waited longest for its turn, then age.

use super::advance::now;
use super::rows::{LockedRun, select_run};
use super::types::Lease;
use super::{Error, Ledger};
use crate::clock;
use crate::domain::run::{FailureCode, State, Transition};
use crate::domain::trace_context::TraceContext;
use crate::failpoints::failpoint;
use crate::telemetry::metrics;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use std::time::Duration;

/// Tenants that one claim tries at the most.
const TURNS: usize = 16;
/// Key of the advisory lock under which a limit over all runs is kept.
const TOTAL_LOCK: i64 = 0x6d66_636c_6169_6d00;

impl Ledger {
    /// Takes one run that waits, or none. Rows that another worker is claiming are passed over, and so
    /// is one that the ledger refuses. The attempt is counted here, so that a crash costs one.
    pub async fn claim(&self, worker: &str) -> Result<Option<Lease>, Error> {
        let mut picked = None;
        match (self.take(worker, &mut picked).await, picked) {
            (Err(Error::Refused(why)), Some(run_id)) => {
                self.postpone(&run_id, &why).await?;
                Ok(None)
            }
            (claimed, _) => claimed,
        }
    }

    /// `picked` says whose turn it was, whatever becomes of it.
    async fn take(&self, worker: &str, picked: &mut Option<String>) -> Result<Option<Lease>, Error> {
        // The worker's own clock starts before the database's, so it also stops first.
        let asked_at = clock::now();
        let mut transaction = self.pool.begin().await?;
        let found = match waiting_publication(&mut transaction).await? {
            Some(row) => Some(row),
            None => self.next_queued(&mut transaction).await?,
        };
        let Some(row) = found else {
            transaction.rollback().await?;
            return Ok(None);
        };
        *picked = Some(row.try_get(0)?);
        let mut run = LockedRun::read(&row)?;
        let at = now(&mut transaction).await?;
        let queued = (at - run.available_at).to_std().unwrap_or_default();
        let read_fence = run.fence;
        run.fence += 1;
        let transition = if run.state == State::Queued {
            run.full_run_attempts += 1;
            Transition::Start
        } else {
            run.publish_retry_attempts += 1;
            Transition::StartPublish
        };
        let mut additions = self.additions();
        run.step(transition, None, at, worker, &mut additions).map_err(|error| Error::Refused(error.to_string()))?;
        run.lease_owner = Some(worker.to_owned());
        run.store(&mut transaction, read_fence, Some(self.settings.lease_seconds)).await?;
        additions.store(&mut transaction, worker).await?;
        failpoint("claim.taken")?;
        additions.commit(transaction, worker, Some("claim.committed")).await?;
        if transition == Transition::Start {
            // Since its admission, or since the pause after a failed attempt was over.
            metrics::QUEUE_WAIT.observe((), (at - run.available_at).as_seconds_f64().max(0.0));
        }
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
            trace: TraceContext::read(run.traceparent.as_deref(), run.tracestate.as_deref()),
            queued,
            stop_at: asked_at + Duration::from_secs(u64::from(self.settings.lease_seconds)),
        }))
    }

    /// The next queued run within the limits. Claims for one tenant wait for each other, so that its
    /// limit holds and its turn is counted.
    async fn next_queued(&self, connection: &mut PgConnection) -> Result<Option<PgRow>, Error> {
        if self.settings.max_running > 0 {
            sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(TOTAL_LOCK).execute(&mut *connection).await?;
            if running(connection, None).await? >= i64::from(self.settings.max_running) {
                return Ok(None);
            }
        }
        let mut passed_over: Vec<String> = Vec::new();
        while passed_over.len() < TURNS {
            let Some(tenant) = next_tenant(connection, &passed_over).await? else { return Ok(None) };
            let limit = i64::from(self.settings.max_running_per_tenant);
            let within = limit == 0 || running(connection, Some(&tenant)).await? < limit;
            if within && let Some(row) = oldest_of(connection, &tenant).await? {
                sqlx::query("UPDATE tenants SET claimed_at = clock_timestamp() WHERE tenant = $1")
                    .bind(&tenant)
                    .execute(&mut *connection)
                    .await?;
                return Ok(Some(row));
            }
            passed_over.push(tenant);
        }
        Ok(None)
    }
}

/// A publication that nobody is sending, that no answer of the registry is awaited for, and that may still
/// succeed by itself.
async fn waiting_publication(connection: &mut PgConnection) -> Result<Option<PgRow>, Error> {
    let retryable: Vec<&str> =
        FailureCode::ALL.iter().filter(|code| code.is_retryable()).map(|code| code.as_str()).collect();
    Ok(sqlx::query(select_run!(
        "WHERE r.state = 'PUBLISH_PENDING' AND r.available_at <= now() AND r.answer_due_at IS NULL
           AND (r.reason_code IS NULL OR r.reason_code = ANY ($1))
           AND NOT EXISTS (SELECT FROM outbox o WHERE o.stream = r.run_id AND o.sent_at IS NULL AND o.withdrawn_at IS NULL
                                                  AND o.kind = 'PUBLICATION')
         ORDER BY r.available_at, r.run_id LIMIT 1 FOR UPDATE OF r SKIP LOCKED"
    ))
    .bind(retryable)
    .fetch_optional(connection)
    .await?)
}

/// The tenant whose turn it is; its row stays locked.
async fn next_tenant(connection: &mut PgConnection, passed_over: &[String]) -> Result<Option<String>, Error> {
    let row = sqlx::query(
        "SELECT t.tenant FROM tenants t
         CROSS JOIN LATERAL (SELECT r.priority FROM runs r
                             WHERE r.tenant = t.tenant AND r.state = 'QUEUED' AND r.available_at <= now()
                             ORDER BY r.priority DESC, r.available_at, r.run_id LIMIT 1) head
         WHERE t.tenant <> ALL ($1)
         ORDER BY head.priority DESC, t.claimed_at NULLS FIRST, t.tenant LIMIT 1 FOR UPDATE OF t",
    )
    .bind(passed_over)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

async fn oldest_of(connection: &mut PgConnection, tenant: &str) -> Result<Option<PgRow>, Error> {
    Ok(sqlx::query(select_run!(
        "WHERE r.tenant = $1 AND r.state = 'QUEUED' AND r.available_at <= now()
         ORDER BY r.priority DESC, r.available_at, r.run_id LIMIT 1 FOR UPDATE OF r SKIP LOCKED"
    ))
    .bind(tenant)
    .fetch_optional(connection)
    .await?)
}

/// Runs that a worker trains at this moment, of one tenant or of all.
async fn running(connection: &mut PgConnection, tenant: Option<&str>) -> Result<i64, Error> {
    let row = sqlx::query(
        "SELECT count(*) FROM runs WHERE lease_owner IS NOT NULL AND execution_mode = 'FULL'
                                     AND ($1::text IS NULL OR tenant = $1)",
    )
    .bind(tenant)
    .fetch_one(connection)
    .await?;
    Ok(row.try_get(0)?)
}
