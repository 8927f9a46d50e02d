//! Queries for gauges: how many rows wait and exist. They use a separate connection with a short timeout.
//!
//! Waiting rows are counted through partial indexes that hold only waiting rows. The number of ended runs only grows,
//! so a separate query counts them, which the caller may run less often.

use crate::adapters::ledger::{Error, Ledger, LedgerSettings};
use crate::domain::run::{OutboxKind, State};

const TIMEOUT_MS: u32 = 5_000;

#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    pub open: Vec<(State, i64)>,
    pub claimable: i64,
    /// Seconds that the oldest claimable run has waited. 0 if no run is claimable.
    pub oldest_claimable: f64,
    /// For each kind of record: number of unsent records, and age of the oldest in seconds.
    pub outbox: Vec<(OutboxKind, i64, f64)>,
    /// For each kind: records that were set aside.
    pub set_aside: Vec<(OutboxKind, i64)>,
    /// When the values were read, in seconds since 1970, by the database's clock.
    pub read_at: f64,
}

pub type EndedRuns = Vec<(State, i64)>;

#[derive(sqlx_macros::FromRow)]
struct OpenRuns {
    queued: i64,
    claimable: i64,
    oldest_claimable: f64,
    running: i64,
    eval_ready: i64,
    publish_pending: i64,
    read_at: f64,
}

#[derive(sqlx_macros::FromRow)]
struct WaitingRecords {
    kind: OutboxKind,
    waiting: i64,
    oldest: f64,
}

#[derive(sqlx_macros::FromRow)]
struct SetAside {
    kind: OutboxKind,
    records: i64,
}

#[derive(sqlx_macros::FromRow)]
struct RunsInState {
    state: State,
    runs: i64,
}

impl Ledger {
    /// Returns a handle for [`Self::standing`] and [`Self::ended`]. It has one connection, which is opened at first
    /// use.
    pub fn for_gauges(&self) -> Result<Self, Error> {
        let settings = LedgerSettings {
            statement_timeout_ms: self.settings.statement_timeout_ms.min(TIMEOUT_MS),
            ..self.settings.clone()
        };
        Self { settings, ..self.clone() }.on_one_connection()
    }

    pub async fn standing(&self) -> Result<Standing, Error> {
        let runs: OpenRuns = sqlx::query_as(
            "SELECT queued.waiting AS queued, queued.claimable, COALESCE(queued.oldest, 0)::float8 AS oldest_claimable,
                    leased.running, leased.eval_ready, pending.waiting AS publish_pending,
                    EXTRACT(EPOCH FROM clock_timestamp())::float8 AS read_at
             FROM (SELECT count(*) AS waiting, count(*) FILTER (WHERE available_at <= now()) AS claimable,
                          GREATEST(EXTRACT(EPOCH FROM now() - min(available_at)), 0) AS oldest
                   FROM runs WHERE state = 'QUEUED') queued,
                  (SELECT count(*) FILTER (WHERE state = 'RUNNING') AS running,
                          count(*) FILTER (WHERE state = 'EVAL_READY') AS eval_ready
                   FROM runs WHERE lease_owner IS NOT NULL) leased,
                  (SELECT count(*) AS waiting FROM runs WHERE state = 'PUBLISH_PENDING') pending",
        )
        .fetch_one(&self.pool)
        .await?;
        let waiting: Vec<WaitingRecords> = sqlx::query_as(concat!(
            "SELECT kind::text, count(*) AS waiting,
                    GREATEST(EXTRACT(EPOCH FROM now() - min(created_at)), 0)::float8 AS oldest FROM ",
            unsent_outbox!(),
            " o GROUP BY kind
             UNION ALL
             SELECT 'LINEAGE', count(*), COALESCE(GREATEST(EXTRACT(EPOCH FROM now() - min(created_at)), 0), 0)::float8
             FROM ",
            unsent_lineage!(),
            " l"
        ))
        .fetch_all(&self.pool)
        .await?;
        let set_aside: Vec<SetAside> = sqlx::query_as(
            "SELECT kind::text, count(*) AS records FROM outbox WHERE set_aside_at IS NOT NULL AND sent_at IS NULL
             GROUP BY kind",
        )
        .fetch_all(&self.pool)
        .await?;
        let aside = |kind: OutboxKind| {
            (kind, set_aside.iter().find(|records| records.kind == kind).map_or(0, |records| records.records))
        };
        let of = |kind: OutboxKind| {
            let found = waiting.iter().find(|records| records.kind == kind);
            found.map_or((kind, 0, 0.0), |records| (kind, records.waiting, records.oldest))
        };
        Ok(Standing {
            open: vec![
                (State::Queued, runs.queued),
                (State::Running, runs.running),
                (State::EvalReady, runs.eval_ready),
                (State::PublishPending, runs.publish_pending),
            ],
            claimable: runs.claimable,
            oldest_claimable: runs.oldest_claimable,
            outbox: OutboxKind::ALL.iter().copied().map(of).collect(),
            set_aside: OutboxKind::ALL.iter().copied().map(aside).collect(),
            read_at: runs.read_at,
        })
    }

    pub async fn ended(&self) -> Result<EndedRuns, Error> {
        let rows: Vec<RunsInState> = sqlx::query_as(
            "SELECT state::text, count(*) AS runs FROM runs WHERE state IN ('PASS', 'FAIL', 'PUBLISHED')
             GROUP BY state",
        )
        .fetch_all(&self.pool)
        .await?;
        let of = |state: State| (state, rows.iter().find(|row| row.state == state).map_or(0, |row| row.runs));
        Ok([State::Pass, State::Fail, State::Published].map(of).to_vec())
    }
}
