//! Claims: choose the run whose turn it is, and give a worker a lease on it under a new fence.
//!
//! Waiting publications come first, since their training is done. Then the highest priority, then the tenant that was
//! served longest ago, then the run that has been claimable longest.
//!
//! ```text
//! publication? ── no ─▶ take_turn ─▶ lock the turn's first run ─▶ step ─▶ COMMIT ─▶ rest_turn, after the last run
//!      │                    ▲                    │
//!      │                    └── somebody was faster, or a bound is reached
//!      └── yes ─▶ step ─▶ COMMIT
//! ```
//!
//! `take_turn` and `rest_turn` are functions of the schema (`0011_turns.sql`). Each is a transaction of one statement: it
//! ends in the server, so that a worker that freezes keeps no turn locked. A worker that dies behind `take_turn` costs
//! the tenant that turn; one that dies before `rest_turn` leaves that to the next claim.
//!
//! Guarantees: where a bound on running runs makes claims wait for each other, each wait ends after `LOCK_WAIT_MS`; a
//! worker that freezes in a claim holds its locks for `HELD_AT_MOST_MS`, or once it appends to the audit log, for that
//! log's bound; what a claim costs does not grow with the number of tenants, nor with that of queued runs.

use super::lease::Lease;
use crate::adapters::ledger::error::is_lock_timeout;
use crate::adapters::ledger::row::{LockedRun, select_run};
use crate::adapters::ledger::transaction::Transaction;
use crate::adapters::ledger::{Error, Ledger};
use crate::clock;
use crate::domain::run::{FailureCode, State, Transition};
use crate::telemetry::metrics;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{Executor, FromRow as _, Postgres, Row as _};
use std::time::Instant;

/// One claim takes at most this many turns. It needs another one only if others were faster or a bound is reached.
const TURNS: usize = 16;
/// How long a claim waits for the lock on a bound, in milliseconds. Then it ends without a run, and the slot comes again.
const LOCK_WAIT_MS: &str = "300";
/// The server ends a claim whose worker stands still for this many milliseconds.
const HELD_AT_MOST_MS: &str = "2000";

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
        let mut claim = self.begin_claim(worker).await?;
        if let Some(row) = claim.waiting_publication().await? {
            return claim.lease(&row, requested_at, picked).await;
        }
        claim.rollback().await?;
        let max_running = i64::from(self.settings.max_running);
        if max_running > 0 && running(&self.pool, None).await? >= max_running {
            return Ok(None);
        }
        for _ in 0..TURNS {
            let Some(turn) = self.take_turn().await? else { return Ok(None) };
            let mut claim = self.begin_claim(worker).await?;
            match claim.first_of(&turn).await? {
                FirstRun::Found(row) => {
                    let leased = claim.lease(&row, requested_at, picked).await?;
                    if turn.is_last {
                        // The lease holds in any case; after an error the next claim lets the turn rest.
                        let _ = self.rest_turn(&turn).await;
                    }
                    return Ok(leased);
                }
                FirstRun::Gone => claim.rollback().await?,
                FirstRun::Locked => {
                    claim.rollback().await?;
                    return Ok(None);
                }
            }
        }
        Ok(None)
    }

    async fn begin_claim<'a>(&'a self, worker: &'a str) -> Result<Transaction<'a>, Error> {
        let mut transaction = self.begin(worker).await?;
        sqlx::query("SELECT set_config('idle_in_transaction_session_timeout', $1, true)")
            .bind(HELD_AT_MOST_MS)
            .execute(transaction.connection())
            .await?;
        Ok(transaction)
    }

    async fn take_turn(&self) -> Result<Option<Turn>, Error> {
        Ok(sqlx::query_as("SELECT tenant, priority, is_last FROM take_turn($1)")
            .bind(i64::from(self.settings.max_running_per_tenant))
            .fetch_optional(&self.pool)
            .await?)
    }

    async fn rest_turn(&self, turn: &Turn) -> Result<(), Error> {
        let rest = sqlx::query("SELECT rest_turn($1, $2)").bind(&turn.tenant).bind(turn.priority);
        rest.execute(&self.pool).await?;
        Ok(())
    }
}

/// A right to look for a run of this tenant and priority; it does not keep others from doing so.
#[derive(sqlx_macros::FromRow)]
struct Turn {
    tenant: String,
    priority: i16,
    /// Whether the turn had only one claimable run.
    is_last: bool,
}

enum FirstRun {
    Found(PgRow),
    /// Other claims were faster, or a bound is reached.
    Gone,
    /// Another claim has held the lock on a bound for too long; this transaction can only be rolled back.
    Locked,
}

impl Transaction<'_> {
    /// Gives the worker a lease on this locked run, and commits.
    async fn lease(
        mut self,
        row: &PgRow,
        requested_at: Instant,
        picked: &mut Option<String>,
    ) -> Result<Option<Lease>, Error> {
        *picked = Some(row.try_get("run_id")?);
        let (ledger, worker) = (self.ledger, self.worker);
        let mut run = LockedRun::from_row(row)?;
        let ready_since = run.available_at;
        run.fence += 1;
        let transition = if run.state == State::Queued {
            run.full_run_attempts += 1;
            Transition::Start
        } else {
            run.publish_retry_attempts += 1;
            Transition::StartPublish
        };
        self.step(&mut run, transition, None)?;
        run.lease_owner = Some(worker.to_owned());
        let Ok(()) = self.save_each(&[&run], Some(ledger.settings.lease_seconds)).await? else {
            self.rollback().await?;
            return Ok(None);
        };
        let queued = (self.at - ready_since).to_std().unwrap_or_default();
        self.commit(Some("claim.taken"), Some("claim.committed")).await?;
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
            stop_at: requested_at + ledger.lease_length(),
        }))
    }

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

    /// Locks the first run of a turn that nobody else has locked, within the bounds on running runs.
    async fn first_of(&mut self, turn: &Turn) -> Result<FirstRun, Error> {
        let max_running = i64::from(self.ledger.settings.max_running);
        let max_of_tenant = i64::from(self.ledger.settings.max_running_per_tenant);
        if max_running > 0 {
            let lock = sqlx::query("SELECT FROM locks WHERE name = 'running' FOR UPDATE");
            if !self.is_locked(lock).await? {
                return Ok(FirstRun::Locked);
            }
            if running(self.connection(), None).await? >= max_running {
                return Ok(FirstRun::Gone);
            }
        }
        if max_of_tenant > 0 {
            // Workers of the release before lock the same row.
            let lock = sqlx::query("SELECT FROM tenants WHERE tenant = $1 FOR UPDATE").bind(&turn.tenant);
            if !self.is_locked(lock).await? {
                return Ok(FirstRun::Locked);
            }
            if running(self.connection(), Some(&turn.tenant)).await? >= max_of_tenant {
                return Ok(FirstRun::Gone);
            }
        }
        let row = sqlx::query(select_run!(
            "WHERE r.tenant = $1 AND r.priority = $2 AND r.state = 'QUEUED' AND r.available_at <= now()
             ORDER BY r.available_at, r.run_id LIMIT 1 FOR UPDATE OF r SKIP LOCKED"
        ))
        .bind(&turn.tenant)
        .bind(turn.priority)
        .fetch_optional(self.connection())
        .await?;
        Ok(row.map_or(FirstRun::Gone, FirstRun::Found))
    }

    /// Takes a lock on a bound; returns false if another claim held it all the time.
    async fn is_locked(&mut self, lock: Query<'_, Postgres, PgArguments>) -> Result<bool, Error> {
        sqlx::query("SELECT set_config('lock_timeout', $1, true)")
            .bind(LOCK_WAIT_MS)
            .execute(self.connection())
            .await?;
        match lock.execute(self.connection()).await {
            Ok(_) => {}
            Err(error) if is_lock_timeout(&error) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        sqlx::query("SET LOCAL lock_timeout TO DEFAULT").execute(self.connection()).await?;
        Ok(true)
    }
}

/// Counts the runs that workers train now: of one tenant, or of all if `tenant` is `None`.
async fn running<'e>(on: impl Executor<'e, Database = Postgres>, tenant: Option<&str>) -> Result<i64, Error> {
    let query = match tenant {
        None => {
            sqlx::query_scalar("SELECT count(*) FROM runs WHERE lease_owner IS NOT NULL AND execution_mode = 'FULL'")
        }
        Some(tenant) => sqlx::query_scalar(
            "SELECT count(*) FROM runs WHERE tenant = $1 AND lease_owner IS NOT NULL AND execution_mode = 'FULL'",
        )
        .bind(tenant),
    };
    Ok(query.fetch_one(on).await?)
}
