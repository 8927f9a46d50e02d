//! The events and announcements of a run, newest first.

use crate::adapters::ledger::outbox::header;
use crate::adapters::ledger::{Coordinates, Error, Ledger};
use crate::domain::identity::RunId;
use chrono::{DateTime, Utc};

/// An event or announcement of a run, and whether it reached its topic.
#[derive(Debug, Clone)]
pub struct EmittedEvent {
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

#[derive(sqlx_macros::FromRow)]
struct EventColumns {
    seq: Option<i64>,
    #[sqlx(json)]
    headers: Vec<(String, String)>,
    created_at: DateTime<Utc>,
    sent: Option<(DateTime<Utc>, String, i32, i64)>,
    withdrawn_at: Option<DateTime<Utc>>,
}

impl From<EventColumns> for EmittedEvent {
    fn from(columns: EventColumns) -> Self {
        let EventColumns { seq, headers, created_at, sent, withdrawn_at } = columns;
        let sent = sent.map(|(at, topic, partition, offset)| (at, Coordinates { topic, partition, offset }));
        Self { seq, event_type: header(headers, "ce_type").unwrap_or_default(), created_at, sent, withdrawn_at }
    }
}

impl Ledger {
    /// Newest first, at most `limit`.
    pub async fn events_of(&self, run_id: &RunId, limit: i64) -> Result<Vec<EmittedEvent>, Error> {
        let rows: Vec<EventColumns> = sqlx::query_as(
            "SELECT seq, headers, created_at, withdrawn_at,
                    CASE WHEN sent_at IS NOT NULL THEN (sent_at, sent_topic, sent_partition, sent_offset) END AS sent
             FROM outbox WHERE stream = $1 ORDER BY id DESC LIMIT $2",
        )
        .bind(run_id.as_str())
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }
}
