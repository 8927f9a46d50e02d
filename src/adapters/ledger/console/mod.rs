//! What the console shows.
//!
//! Guarantees: every statement is bounded in rows and in time, and finds its way by an index. Never: writes;
//! the server itself refuses that on these connections; takes a connection that the loops need.

mod depth;
mod letters;
mod runs;

pub use depth::{Backlog, Depth, LeaseRow, Leases, ShardOwner};
pub use letters::{LetterPage, LetterRow, LetterText};
pub use runs::{Place, RunPage, RunRow, RunsAsked, SearchBy};

use super::events::header;
use super::find::RequestRecord;
use super::rows::unreadable;
use super::types::Coordinates;
use super::{Error, Ledger};
use crate::domain::identity::RunId;
use chrono::{DateTime, Utc};
use sqlx::Row as _;
use sqlx::postgres::PgPoolOptions;
use std::time::Duration;

/// Connections of the console at the most: readers wait for each other, never the loops for them.
const CONNECTIONS: u32 = 2;
/// How long a page waits for a connection.
const PATIENCE: Duration = Duration::from_secs(3);
/// The server ends a statement of the console after this.
const STATEMENT_TIMEOUT_MS: u32 = 3_000;

/// Which part of a list that only grows at its new end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part<K> {
    /// Its newest entries.
    Newest,
    /// Those before this one.
    OlderThan(K),
    /// Those after this one.
    NewerThan(K),
}

/// An event or announcement of a run, and whether it reached its topic.
#[derive(Debug, Clone)]
pub struct ToldEvent {
    /// Number within the run; announcements have none.
    pub seq: Option<i64>,
    /// `ce_type`.
    pub event_type: String,
    /// When it was put into the outbox.
    pub created_at: DateTime<Utc>,
    /// When and where the broker acknowledged it.
    pub sent: Option<(DateTime<Utc>, Coordinates)>,
    /// When it was taken back before it was sent.
    pub withdrawn_at: Option<DateTime<Utc>>,
}

impl Ledger {
    /// The same ledger on a few connections of its own, made when they are first used, on which the server refuses
    /// to write and ends what takes long.
    pub fn for_the_console(&self) -> Result<Self, Error> {
        let options = Self::options(&self.settings)?.application_name("model-factory-console").options([
            ("statement_timeout", STATEMENT_TIMEOUT_MS.to_string()),
            ("default_transaction_read_only", "on".to_owned()),
        ]);
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(PATIENCE);
        Ok(Self { pool: pool.connect_lazy_with(options), ..self.clone() })
    }

    /// The latest events and announcements of a run, newest first, so many at the most.
    pub async fn told_of(&self, run_id: &RunId, limit: i64) -> Result<Vec<ToldEvent>, Error> {
        let rows = sqlx::query(
            "SELECT seq, headers, created_at, sent_at, sent_topic, sent_partition, sent_offset, withdrawn_at
             FROM outbox WHERE stream = $1 ORDER BY id DESC LIMIT $2",
        )
        .bind(run_id.as_str())
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let mut told = Vec::with_capacity(rows.len());
        for row in &rows {
            let sent_at: Option<DateTime<Utc>> = row.try_get(3)?;
            let sent = match sent_at {
                Some(at) => {
                    let (topic, partition, offset) = (row.try_get(4)?, row.try_get(5)?, row.try_get(6)?);
                    Some((at, Coordinates { topic, partition, offset }))
                }
                None => None,
            };
            told.push(ToldEvent {
                seq: row.try_get(0)?,
                event_type: header(row.try_get(1)?, "ce_type")?.unwrap_or_default(),
                created_at: row.try_get(2)?,
                sent,
                withdrawn_at: row.try_get(7)?,
            });
        }
        Ok(told)
    }

    /// The first requests of a run, oldest first, so many at the most.
    pub async fn first_requests_of(&self, run_id: &RunId, limit: i64) -> Result<Vec<RequestRecord>, Error> {
        self.some_requests_of(run_id, limit).await
    }

    /// How many requests a run has.
    pub async fn count_requests_of(&self, run_id: &RunId) -> Result<i64, Error> {
        let row = sqlx::query("SELECT count(*) FROM requests WHERE run_id = $1").bind(run_id.as_str());
        Ok(row.fetch_one(&self.pool).await?.try_get(0)?)
    }
}

/// Of a row's first columns, whatever is unreadable counts as absent: a list shows the rest all the same.
fn lenient<T: serde::de::DeserializeOwned>(value: Option<serde_json::Value>) -> Option<T> {
    value.and_then(|value| serde_json::from_value(value).ok())
}

fn state(text: &str) -> Result<crate::domain::run::State, Error> {
    text.parse().map_err(|error| unreadable("state", error))
}
