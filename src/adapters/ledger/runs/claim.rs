//! Claims: choose the run whose turn it is, and give a worker a lease on it under a new fence.
//!
//! Waiting publications come first, since their training is done. Then the highest priority, then the tenant that was
//! served longest ago, then the run that has been claimable longest.

use super::lease::Lease;
use crate::adapters::ledger::row::{LockedRun, select_run};
use crate::adapters::ledger::transaction::Transaction;
use crate::adapters::ledger::{Error, Ledger};
use crate::clock;
use crate::domain::run::{FailureCode, State, Transition};
use crate::telemetry::metrics;
use sqlx::postgres::PgRow;
use sqlx::{FromRow as _, Row as _};

/// One claim tries at most this many tenants.
const TURNS: usize = 16;
/// Key of the advisory lock that a claim takes before it compares all running runs with `max_running`.
const TOTAL_LOCK: i64 = 0x6d66_636c_6169_6d00;

impl Ledger {
    /// Claims one waiting run; `None` if none waits. Skips rows that another worker has locked; postpones a row that
    /// the ledger refuses. The claim counts the attempt, so that a crash costs one.
    pub async fn claim(&self, worker: &str) -> Result<Option<Lease>, Error> {
        let mut picked = None;
        match (self.take(worker, &mut picked).await, picked) {
            (Err(Error::Refused(why) | Error::Unfit(why)), Some(run_id)) => {
                self.postpone(&run_id, &why).await?;
                Ok(None)
            }
            (claimed, _) => claimed,
        }
    }

    /// Claims one run. `picked` receives the id of the chosen run even if the claim fails afterwards.
    async fn take(&self, worker: &str, picked: &mut Option<String>) -> Result<Option<Lease>, Error> {
        // The worker's clock is read before the database's, so that the lease ends earlier by the worker's clock.
        let requested_at = clock::now();
        let mut transaction = self.begin(worker).await?;
        let found = match transaction.waiting_publication().await? {
            Some(row) => Some(row),
            None => transaction.next_queued().await?,
        };
        let Some(row) = found else {
            transaction.rollback().await?;
            return Ok(None);
        };
        *picked = Some(row.try_get("run_id")?);
        let mut run = LockedRun::from_row(&row)?;
        let ready_since = run.available_at;
        run.fence += 1;
        let transition = if run.state == State::Queued {
            run.full_run_attempts += 1;
            Transition::Start
        } else {
            run.publish_retry_attempts += 1;
            Transition::StartPublish
        };
        transaction.step(&mut run, transition, None)?;
        run.lease_owner = Some(worker.to_owned());
        let lease_seconds = self.settings.lease_seconds;
        let Ok(()) = transaction.save_each(&[&run], Some(lease_seconds)).await? else {
            transaction.rollback().await?;
            return Ok(None);
        };
        let queued = (transaction.at - ready_since).to_std().unwrap_or_default();
        transaction.commit(Some("claim.taken"), Some("claim.committed")).await?;
        if transition == Transition::Start {
            // Counts from the admission, or from the end of the pause after a failed attempt.
            metrics::QUEUE_WAIT.observe((), queued.as_secs_f64());
        }
        Ok(Some(Lease {
            run_id: run.run_id,
            run_key: run.run_key,
            fence: run.fence,
            mode: run.mode,
            attempt: run.full_run_attempts as u32,
            worker: worker.to_owned(),
            request: run.request.0,
            publish_allowed: run.publish_allowed,
            refs: run.refs,
            trace: run.trace.0,
            queued,
            stop_at: requested_at + self.lease_length(),
        }))
    }
}

impl Transaction<'_> {
    /// Finds a publication that no relay is sending, that waits for no reply of the registry, and that may be retried
    /// without a person.
    async fn waiting_publication(&mut self) -> Result<Option<PgRow>, Error> {
        let retryable: Vec<&str> =
            FailureCode::ALL.iter().filter(|code| code.is_retryable()).map(|code| code.as_str()).collect();
        Ok(sqlx::query(select_run!(
            "WHERE r.state = 'PUBLISH_PENDING' AND r.available_at <= now() AND r.answer_due_at IS NULL
               AND (r.reason_code IS NULL OR r.reason_code = ANY ($1))
               AND NOT EXISTS (SELECT FROM outbox o WHERE o.stream = r.run_id AND o.sent_at IS NULL
                                                      AND o.withdrawn_at IS NULL AND o.kind = 'PUBLICATION')
             ORDER BY r.available_at, r.run_id LIMIT 1 FOR UPDATE OF r SKIP LOCKED"
        ))
        .bind(retryable)
        .fetch_optional(self.connection())
        .await?)
    }

    /// Finds the next queued run within the bounds on running runs. Claims for one tenant wait for each other, so that
    /// its bound holds and its turn is counted.
    async fn next_queued(&mut self) -> Result<Option<PgRow>, Error> {
        let max_running = i64::from(self.ledger.settings.max_running);
        if max_running > 0 {
            sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(TOTAL_LOCK).execute(self.connection()).await?;
            if self.running(None).await? >= max_running {
                return Ok(None);
            }
        }
        let mut passed_over: Vec<String> = Vec::new();
        while passed_over.len() < TURNS {
            let Some(tenant) = self.next_tenant(&passed_over).await? else { return Ok(None) };
            let most = i64::from(self.ledger.settings.max_running_per_tenant);
            let within = most == 0 || self.running(Some(&tenant)).await? < most;
            if within && let Some(row) = self.next_of(&tenant).await? {
                sqlx::query("UPDATE tenants SET claimed_at = clock_timestamp() WHERE tenant = $1")
                    .bind(&tenant)
                    .execute(self.connection())
                    .await?;
                return Ok(Some(row));
            }
            passed_over.push(tenant);
        }
        Ok(None)
    }

    /// Finds the tenant whose turn it is, and locks its row.
    async fn next_tenant(&mut self, passed_over: &[String]) -> Result<Option<String>, Error> {
        Ok(sqlx::query_scalar(
            "SELECT t.tenant FROM tenants t
             CROSS JOIN LATERAL (SELECT r.priority FROM runs r
                                 WHERE r.tenant = t.tenant AND r.state = 'QUEUED' AND r.available_at <= now()
                                 ORDER BY r.priority DESC, r.available_at, r.run_id LIMIT 1) head
             WHERE t.tenant <> ALL ($1)
             ORDER BY head.priority DESC, t.claimed_at NULLS FIRST, t.tenant LIMIT 1 FOR UPDATE OF t",
        )
        .bind(passed_over)
        .fetch_optional(self.connection())
        .await?)
    }

    async fn next_of(&mut self, tenant: &str) -> Result<Option<PgRow>, Error> {
        Ok(sqlx::query(select_run!(
            "WHERE r.tenant = $1 AND r.state = 'QUEUED' AND r.available_at <= now()
             ORDER BY r.priority DESC, r.available_at, r.run_id LIMIT 1 FOR UPDATE OF r SKIP LOCKED"
        ))
        .bind(tenant)
        .fetch_optional(self.connection())
        .await?)
    }

    /// Counts the runs that workers train now: of one tenant, or of all if `tenant` is `None`.
    async fn running(&mut self, tenant: Option<&str>) -> Result<i64, Error> {
        Ok(sqlx::query_scalar(
            "SELECT count(*) FROM runs WHERE lease_owner IS NOT NULL AND execution_mode = 'FULL'
                                         AND ($1::text IS NULL OR tenant = $1)",
        )
        .bind(tenant)
        .fetch_one(self.connection())
        .await?)
    }
}
