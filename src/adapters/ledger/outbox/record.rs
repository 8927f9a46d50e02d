//! What the relay takes from the outbox and gives back.

use crate::adapters::ledger::Coordinates;
use crate::domain::run::OutboxKind;

/// A record to be produced, exactly as it will be on the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    pub id: i64,
    /// The run, or the refused record, within which order counts.
    pub stream: String,
    pub shard: i16,
    pub kind: OutboxKind,
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
    /// In order.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// A sixteenth of the streams, held by one relay at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx_macros::FromRow)]
pub struct Shard {
    /// 0 to 15.
    pub shard: i16,
    /// Every mark must name it: another relay that takes the shard raises it.
    pub fence: i64,
}

/// A record that the broker acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub id: i64,
    /// Decides the table that `id` is of.
    pub kind: OutboxKind,
    /// The shard under which it was sent.
    pub shard: Shard,
    pub coordinates: Coordinates,
}
