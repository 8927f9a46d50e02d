//! Queries for the console: which workers hold leases and shards, and how many records and runs wait.

use crate::adapters::ledger::columns::Readable;
use crate::adapters::ledger::{Error, Ledger};
use crate::domain::contract::EventProgress;
use crate::domain::run::State;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

const LEASES: i64 = 500;

#[derive(Debug, Clone, sqlx_macros::FromRow)]
pub struct LeaseRow {
    pub owner: String,
    pub run_id: String,
    pub state: State,
    pub mode: String,
    pub attempt: i32,
    pub fence: i64,
    pub expires_at: DateTime<Utc>,
    pub progress: Readable<EventProgress>,
}

#[derive(Debug, Clone, sqlx_macros::FromRow)]
pub struct ShardOwner {
    /// Name of the worker that relays these shards. `None` if no worker holds them.
    pub owner: Option<String>,
    pub shards: Vec<i16>,
    /// When the lease on the first of these shards expires. `None` if no worker holds them.
    pub expires_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone)]
pub struct Leases {
    pub runs: Vec<LeaseRow>,
    pub shards: Vec<ShardOwner>,
    pub now: DateTime<Utc>,
}

#[derive(Debug, Clone, Default, sqlx_macros::FromRow)]
pub struct Backlog {
    /// Number of waiting rows. Counting stops at [`Ledger::MOST_COUNTED`] plus one.
    pub waiting: i64,
    pub oldest: Option<DateTime<Utc>>,
}

#[derive(sqlx_macros::FromRow)]
struct OutboxBacklog {
    kind: String,
    #[sqlx(flatten)]
    backlog: Backlog,
}

#[derive(Debug, Clone)]
pub struct Depth {
    pub queued: Backlog,
    /// Unsent records of the outbox. The key is the kind of record.
    pub outbox: BTreeMap<String, Backlog>,
    /// Records of the outbox that were set aside.
    pub set_aside: Backlog,
    /// Runs in `PUBLISH_PENDING`. `oldest` is the time of their last change.
    pub publications: Backlog,
    /// Announcements to which the registry has not replied. `oldest` is the earliest time at which a reply is due.
    pub answers: Backlog,
    pub now: DateTime<Utc>,
}

impl Ledger {
    pub const MOST_COUNTED: i64 = 10_000;

    pub async fn leases(&self) -> Result<Leases, Error> {
        let now = self.clock().await?;
        let runs = sqlx::query_as(
            "SELECT lease_owner AS owner, run_id, state::text, execution_mode::text AS mode,
                    full_run_attempts AS attempt, fence, lease_expires_at AS expires_at, progress
             FROM runs WHERE lease_owner IS NOT NULL ORDER BY lease_owner, run_id LIMIT $1",
        )
        .bind(LEASES)
        .fetch_all(&self.pool)
        .await?;
        let shards = sqlx::query_as(
            "SELECT owner, array_agg(shard ORDER BY shard) AS shards, min(expires_at) AS expires_at FROM relay_shards
             GROUP BY owner ORDER BY owner NULLS LAST",
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(Leases { runs, shards, now })
    }

    pub async fn depth(&self) -> Result<Depth, Error> {
        let now = self.clock().await?;
        let most = Self::MOST_COUNTED + 1;
        let one = async |sql: &'static str| -> Result<Backlog, Error> {
            Ok(sqlx::query_as(sql).bind(most).fetch_one(&self.pool).await?)
        };
        let queued =
            one("SELECT count(*) AS waiting, (SELECT min(created_at) FROM runs WHERE state = 'QUEUED') AS oldest
             FROM (SELECT FROM runs WHERE state = 'QUEUED' LIMIT $1) waiting")
            .await?;
        let publications = one("SELECT count(*) AS waiting, min(updated_at) AS oldest
             FROM (SELECT updated_at FROM runs WHERE state = 'PUBLISH_PENDING' LIMIT $1) waiting")
        .await?;
        let answers = one(
            "SELECT count(*) AS waiting, min(answer_due_at) AS oldest
             FROM (SELECT answer_due_at FROM runs WHERE answer_due_at IS NOT NULL ORDER BY answer_due_at LIMIT $1) due",
        )
        .await?;
        let set_aside = one("SELECT count(*) AS waiting, min(set_aside_at) AS oldest
             FROM (SELECT set_aside_at FROM outbox WHERE set_aside_at IS NOT NULL AND sent_at IS NULL LIMIT $1) aside")
        .await?;
        let rows: Vec<OutboxBacklog> = sqlx::query_as(concat!(
            "SELECT k.kind::text, count(u.kind) AS waiting, min(u.created_at) AS oldest
             FROM unnest(enum_range(NULL::outbox_kind)) AS k (kind)
             LEFT JOIN (SELECT * FROM ",
            unsent_outbox!(),
            " o LIMIT $1) u ON u.kind = k.kind
             GROUP BY k.kind
             UNION ALL
             SELECT 'LINEAGE', count(*), min(created_at) FROM (SELECT * FROM ",
            unsent_lineage!(),
            " l LIMIT $1) waiting"
        ))
        .bind(most)
        .fetch_all(&self.pool)
        .await?;
        let outbox = rows.into_iter().map(|row| (row.kind, row.backlog)).collect();
        Ok(Depth { queued, outbox, set_aside, publications, answers, now })
    }
}
