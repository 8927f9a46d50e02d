//! Rows of the outbox before they are inserted.

use super::headers::StoredHeaders;
use crate::adapters::ledger::{Coordinates, Error};
use crate::domain::run::OutboxKind;
use sqlx::PgConnection;
use sqlx::types::Json;

#[derive(Debug)]
pub struct OutboxDraft {
    pub(super) stream: String,
    /// Only events have a number within their stream.
    pub(super) seq: Option<i64>,
    pub(super) kind: OutboxKind,
    pub(super) event_id: String,
    pub(super) key: Option<Vec<u8>>,
    /// None where the relay sends the bytes of `source`.
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: StoredHeaders,
    /// The record of the request topic that a dead letter repeats.
    pub(super) source: Option<Coordinates>,
}

pub(super) fn json_bytes<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("events have string keys and finite numbers")
}

/// Inserts in the order of `drafts`, so that ids rise within each stream.
pub async fn insert_outbox(connection: &mut PgConnection, drafts: &[OutboxDraft]) -> Result<(), Error> {
    if drafts.is_empty() {
        return Ok(());
    }
    let source = |of: fn(&Coordinates) -> i64| drafts.iter().map(|d| d.source.as_ref().map(of)).collect::<Vec<_>>();
    sqlx::query(
        "INSERT INTO outbox (stream, seq, kind, event_id, key, value, headers, source_topic, source_partition,
                             source_offset, created_at)
         SELECT d.stream, d.seq, d.kind::outbox_kind, d.event_id, d.key, d.value, d.headers, d.topic,
                d.partition::integer, d.position, now()
         FROM UNNEST($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bytea[], $6::bytea[], $7::jsonb[],
                     $8::text[], $9::bigint[], $10::bigint[])
              WITH ORDINALITY AS d (stream, seq, kind, event_id, key, value, headers, topic, partition, position, line)
         ORDER BY d.line",
    )
    .bind(drafts.iter().map(|d| d.stream.as_str()).collect::<Vec<_>>())
    .bind(drafts.iter().map(|d| d.seq).collect::<Vec<_>>())
    .bind(drafts.iter().map(|d| d.kind.as_str()).collect::<Vec<_>>())
    .bind(drafts.iter().map(|d| d.event_id.as_str()).collect::<Vec<_>>())
    .bind(drafts.iter().map(|d| d.key.as_deref()).collect::<Vec<_>>())
    .bind(drafts.iter().map(|d| d.value.as_deref()).collect::<Vec<_>>())
    .bind(drafts.iter().map(|d| Json(&d.headers)).collect::<Vec<_>>())
    .bind(drafts.iter().map(|d| d.source.as_ref().map(|at| at.topic.as_str())).collect::<Vec<_>>())
    .bind(source(|at| i64::from(at.partition)))
    .bind(source(|at| at.offset))
    .execute(connection)
    .await?;
    Ok(())
}
