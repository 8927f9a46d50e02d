//! Who holds what, and how much waits.

use super::{lenient, state};
use crate::adapters::ledger::{Error, Ledger};
use crate::domain::contract::EventProgress;
use crate::domain::run::{OutboxKind, State};
use chrono::{DateTime, Utc};
use sqlx::Row as _;
use std::collections::BTreeMap;

/// Leases that are shown.
const LEASES: i64 = 500;
/// Rows of one backlog that are looked at.
const MOST: i64 = 10_000;

/// A run in a worker's hands.
#[derive(Debug, Clone)]
pub struct LeaseRow {
    /// The worker.
    pub owner: String,
    /// The run.
    pub run_id: String,
    /// Where it stands.
    pub state: State,
    /// What the worker does with it: `FULL` or `PUBLISH_ONLY`.
    pub mode: String,
    /// Full attempts so far.
    pub attempt: i32,
    /// The fence of the lease.
    pub fence: i64,
    /// Until when.
    pub expires_at: DateTime<Utc>,
    /// How far the trainer was when it last said so.
    pub progress: Option<EventProgress>,
}

/// Part of the outbox in a relay's hands.
#[derive(Debug, Clone)]
pub struct ShardOwner {
    /// The relay's worker; none where nobody holds these.
    pub owner: Option<String>,
    /// The shards.
    pub shards: Vec<i16>,
    /// Until when at the least.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Everything that somebody holds.
#[derive(Debug, Clone)]
pub struct Leases {
    /// Runs, by worker.
    pub runs: Vec<LeaseRow>,
    /// The outbox's shards, by relay.
    pub shards: Vec<ShardOwner>,
    /// The database's clock.
    pub now: DateTime<Utc>,
}

/// How many wait, and since when the first of them.
#[derive(Debug, Clone, Default)]
pub struct Backlog {
    /// How many, up to [`Ledger::MOST_COUNTED`] and one more.
    pub waiting: i64,
    /// Since when.
    pub oldest: Option<DateTime<Utc>>,
}

/// What waits.
#[derive(Debug, Clone)]
pub struct Depth {
    /// Runs that no worker has taken.
    pub queued: Backlog,
    /// Records that the relay has still to send, by kind.
    pub outbox: BTreeMap<String, Backlog>,
    /// Bundles that are cleared and not yet published, by the time of their last change.
    pub publications: Backlog,
    /// Announcements that the registry has not answered, by when its answer is due.
    pub answers: Backlog,
    /// The database's clock.
    pub now: DateTime<Utc>,
}

impl Ledger {
    /// Who holds what.
    pub async fn leases(&self) -> Result<Leases, Error> {
        let now = self.clock().await?;
        let rows = sqlx::query(
            "SELECT lease_owner, run_id, state::text, execution_mode::text, full_run_attempts, fence, lease_expires_at,
                    progress
             FROM runs WHERE lease_owner IS NOT NULL ORDER BY lease_owner, run_id LIMIT $1",
        )
        .bind(LEASES)
        .fetch_all(&self.pool)
        .await?;
        let mut runs = Vec::with_capacity(rows.len());
        for row in &rows {
            runs.push(LeaseRow {
                owner: row.try_get(0)?,
                run_id: row.try_get(1)?,
                state: state(row.try_get(2)?)?,
                mode: row.try_get(3)?,
                attempt: row.try_get(4)?,
                fence: row.try_get(5)?,
                expires_at: row.try_get(6)?,
                progress: lenient(row.try_get(7)?),
            });
        }
        let rows = sqlx::query(
            "SELECT owner, array_agg(shard ORDER BY shard), min(expires_at) FROM relay_shards
             GROUP BY owner ORDER BY owner NULLS LAST",
        )
        .fetch_all(&self.pool)
        .await?;
        let mut shards = Vec::with_capacity(rows.len());
        for row in &rows {
            let (owner, of, expires_at) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            shards.push(ShardOwner { owner, shards: of, expires_at });
        }
        Ok(Leases { runs, shards, now })
    }

    /// How much waits.
    pub async fn depth(&self) -> Result<Depth, Error> {
        let now = self.clock().await?;
        let one = async |sql: &'static str| -> Result<Backlog, Error> {
            let row = sqlx::query(sql).bind(MOST + 1).fetch_one(&self.pool).await?;
            Ok(Backlog { waiting: row.try_get(0)?, oldest: row.try_get(1)? })
        };
        let queued = one("SELECT count(*), (SELECT min(created_at) FROM runs WHERE state = 'QUEUED')
             FROM (SELECT FROM runs WHERE state = 'QUEUED' LIMIT $1) waiting")
        .await?;
        let publications = one("SELECT count(*), min(updated_at)
             FROM (SELECT updated_at FROM runs WHERE state = 'PUBLISH_PENDING' LIMIT $1) waiting")
        .await?;
        let answers = one(
            "SELECT count(*), min(answer_due_at)
             FROM (SELECT answer_due_at FROM runs WHERE answer_due_at IS NOT NULL ORDER BY answer_due_at LIMIT $1) due",
        )
        .await?;
        let rows = sqlx::query(
            "SELECT k.kind::text, count(u.kind), min(u.created_at)
             FROM unnest(enum_range(NULL::outbox_kind)) AS k (kind)
             LEFT JOIN (SELECT kind, created_at FROM outbox WHERE sent_at IS NULL AND withdrawn_at IS NULL LIMIT $1) u
                  ON u.kind = k.kind
             GROUP BY k.kind ORDER BY k.kind",
        )
        .bind(MOST + 1)
        .fetch_all(&self.pool)
        .await?;
        let lineage = one("SELECT count(*), min(created_at)
             FROM (SELECT created_at FROM lineage_outbox WHERE sent_at IS NULL LIMIT $1) waiting")
        .await?;
        let mut outbox = BTreeMap::from([(OutboxKind::Lineage.as_str().to_owned(), lineage)]);
        for row in &rows {
            let (waiting, oldest) = (row.try_get(1)?, row.try_get(2)?);
            outbox.insert(row.try_get(0)?, Backlog { waiting, oldest });
        }
        Ok(Depth { queued, outbox, publications, answers, now })
    }
}
