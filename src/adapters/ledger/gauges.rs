//! How much waits and stands in the ledger, for gauges. Reads only, on a connection of its own, and no longer than a
//! gauge is worth.
//!
//! What waits is read through the indexes that hold nothing else; what has ended grows for ever, and is a question
//! of its own, so that the caller may ask it less often.

use super::relay::kind_of;
use super::rows::unreadable;
use super::{Error, Ledger, LedgerSettings};
use crate::domain::run::{OutboxKind, State};
use sqlx::Row as _;
use std::collections::BTreeMap;

/// Longest statement for a gauge.
const TIMEOUT_MS: u32 = 5_000;

/// What waits or is worked on.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Runs of every state that is not an end.
    pub open: Vec<(State, i64)>,
    /// Runs that may be claimed now.
    pub claimable: i64,
    /// How many seconds the one has waited that may be claimed longest.
    pub oldest_claimable: f64,
    /// Of every kind, how many records wait in the outbox and the seconds of the oldest.
    pub outbox: Vec<(OutboxKind, i64, f64)>,
    /// When, in seconds since 1970, by the database's clock.
    pub read_at: f64,
}

/// Runs of every state that is an end.
pub type EndedRuns = Vec<(State, i64)>;

impl Ledger {
    /// The same ledger for [`Self::standing`] and [`Self::ended`]: one connection, made when it is first used.
    pub fn for_gauges(&self) -> Result<Self, Error> {
        let settings = LedgerSettings {
            statement_timeout_ms: self.settings.statement_timeout_ms.min(TIMEOUT_MS),
            ..self.settings.clone()
        };
        Self { settings, ..self.clone() }.on_one_connection()
    }

    /// What waits or is worked on.
    pub async fn standing(&self) -> Result<Standing, Error> {
        let row = sqlx::query(
            "SELECT queued.waiting, queued.claimable, COALESCE(queued.oldest, 0)::float8, leased.running,
                    leased.eval_ready, pending.waiting, EXTRACT(EPOCH FROM clock_timestamp())::float8
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
        let waiting = sqlx::query(
            "SELECT kind::text, count(*), GREATEST(EXTRACT(EPOCH FROM now() - min(created_at)), 0)::float8 FROM outbox
             WHERE sent_at IS NULL AND withdrawn_at IS NULL GROUP BY kind
             UNION ALL
             SELECT 'LINEAGE', count(*), COALESCE(GREATEST(EXTRACT(EPOCH FROM now() - min(created_at)), 0), 0)::float8
             FROM lineage_outbox WHERE sent_at IS NULL",
        )
        .fetch_all(&self.pool)
        .await?;
        let mut outbox: Vec<_> = OutboxKind::ALL.iter().map(|kind| (*kind, 0, 0.0)).collect();
        for row in waiting {
            let kind = kind_of(row.try_get(0)?)?;
            outbox.retain(|(other, ..)| *other != kind);
            outbox.push((kind, row.try_get(1)?, row.try_get(2)?));
        }
        Ok(Standing {
            open: vec![
                (State::Queued, row.try_get(0)?),
                (State::Running, row.try_get(3)?),
                (State::EvalReady, row.try_get(4)?),
                (State::PublishPending, row.try_get(5)?),
            ],
            claimable: row.try_get(1)?,
            oldest_claimable: row.try_get(2)?,
            outbox,
            read_at: row.try_get(6)?,
        })
    }

    /// What has ended.
    pub async fn ended(&self) -> Result<EndedRuns, Error> {
        let rows = sqlx::query(
            "SELECT state::text, count(*) FROM runs WHERE state IN ('PASS', 'FAIL', 'PUBLISHED') GROUP BY state",
        )
        .fetch_all(&self.pool)
        .await?;
        let mut counts = BTreeMap::new();
        for row in rows {
            counts.insert(row.try_get::<String, _>(0)?, row.try_get::<i64, _>(1)?);
        }
        let ends = [State::Pass, State::Fail, State::Published];
        let ended = ends.map(|state| (state, counts.remove(state.as_str()).unwrap_or_default())).to_vec();
        match counts.into_keys().next() {
            Some(other) => Err(unreadable("state", other)),
            None => Ok(ended),
        }
    }
}
