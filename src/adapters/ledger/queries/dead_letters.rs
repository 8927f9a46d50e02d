//! Refused records, for people and tools.

use crate::adapters::ledger::{Coordinates, Error, Ledger};
use crate::domain::run::FailureCode;
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::BTreeMap;

/// A refused record.
#[derive(Debug, Clone, Serialize)]
pub struct DeadLetterRecord {
    /// Where it stood on the request topic.
    pub source: Coordinates,
    /// Of the dead letter: code, pointer, message, source.
    pub headers: BTreeMap<String, String>,
    /// Length of the original.
    pub bytes: i64,
    /// When it was refused.
    pub created_at: DateTime<Utc>,
    /// When it reached the dead-letter topic.
    pub sent_at: Option<DateTime<Utc>>,
}

/// A record as it came.
#[derive(Debug, Clone, sqlx_macros::FromRow)]
pub struct Original {
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
}

#[derive(sqlx_macros::FromRow)]
pub(super) struct DeadLetterColumns {
    pub(super) id: i64,
    #[sqlx(flatten)]
    source: Coordinates,
    #[sqlx(json)]
    headers: Vec<(String, String)>,
    bytes: i64,
    created_at: DateTime<Utc>,
    sent_at: Option<DateTime<Utc>>,
}

impl From<DeadLetterColumns> for DeadLetterRecord {
    fn from(columns: DeadLetterColumns) -> Self {
        let DeadLetterColumns { id: _, source, headers, bytes, created_at, sent_at } = columns;
        Self { source, headers: headers.into_iter().collect(), bytes, created_at, sent_at }
    }
}

macro_rules! select_dead_letter {
    ($rest:literal) => {
        concat!(
            r#"SELECT o.id, o.source_topic AS topic, o.source_partition AS partition, o.source_offset AS "offset",
                      o.headers, length(i.value)::bigint AS bytes, o.created_at, o.sent_at
               FROM outbox o JOIN inbox i ON i.topic = o.source_topic AND i.partition = o.source_partition
                                         AND i."offset" = o.source_offset
               WHERE o.kind = 'DEAD_LETTER' "#,
            $rest
        )
    };
}
pub(super) use select_dead_letter;

impl Ledger {
    /// The latest refused records, newest first; of one code where it is given.
    pub async fn dead_letters(&self, code: Option<FailureCode>, limit: i64) -> Result<Vec<DeadLetterRecord>, Error> {
        let rows: Vec<DeadLetterColumns> = sqlx::query_as(select_dead_letter!(
            "AND ($1::text IS NULL OR o.headers @> jsonb_build_array(jsonb_build_array('mf_code', $1)))
             ORDER BY o.id DESC LIMIT $2"
        ))
        .bind(code.map(FailureCode::as_str))
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    /// The refused record that stood here, with its key and bytes as they came.
    pub async fn dead_letter(&self, source: &Coordinates) -> Result<Option<(DeadLetterRecord, Original)>, Error> {
        let Some(letter) = self.dead_letter_of(source).await? else { return Ok(None) };
        let original =
            sqlx::query_as(r#"SELECT key, value FROM inbox WHERE topic = $1 AND partition = $2 AND "offset" = $3"#)
                .bind(&source.topic)
                .bind(source.partition)
                .bind(source.offset)
                .fetch_one(&self.pool)
                .await?;
        Ok(Some((letter, original)))
    }

    pub(super) async fn dead_letter_of(&self, source: &Coordinates) -> Result<Option<DeadLetterRecord>, Error> {
        let row: Option<DeadLetterColumns> = sqlx::query_as(select_dead_letter!(
            "AND o.source_topic = $1 AND o.source_partition = $2 AND o.source_offset = $3"
        ))
        .bind(&source.topic)
        .bind(source.partition)
        .bind(source.offset)
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(Into::into))
    }
}
