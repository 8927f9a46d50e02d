//! Queries of rejected records and their dead letters.

use super::console::PagePart;
use crate::adapters::ledger::{Coordinates, Error, Ledger};
use crate::domain::run::FailureCode;
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Serialize, sqlx_macros::FromRow)]
pub struct DeadLetterRecord {
    /// Coordinates of the record on the request topic.
    #[sqlx(flatten)]
    pub source: Coordinates,
    /// Headers of the dead letter: code, pointer, message, source.
    #[sqlx(json)]
    pub headers: BTreeMap<String, String>,
    /// Length of the record's whole value, in bytes.
    pub bytes: i64,
    /// Whether the ledger holds only the record's beginning, because the record was too long or could not be read.
    pub is_cut: bool,
    pub created_at: DateTime<Utc>,
    pub sent_at: Option<DateTime<Utc>>,
    /// How often the broker refused the dead letter.
    pub tries: i16,
    /// What the broker said last; `None` if it never refused the dead letter.
    pub refusal: Option<String>,
    /// When the dead letter was set aside, so that no relay sends it any more. `None` if it was not.
    pub set_aside_at: Option<DateTime<Utc>>,
}

impl DeadLetterRecord {
    /// Whether the dead letter is on its topic, and if not, why.
    pub fn standing(&self) -> String {
        match (self.sent_at, self.set_aside_at, &self.refusal) {
            (Some(at), ..) => format!("sent at {}", at.to_rfc3339()),
            (None, Some(at), why) => {
                let why = why.as_deref().unwrap_or_default();
                format!("set aside at {} after {} tries: {why}", at.to_rfc3339(), self.tries)
            }
            (None, None, Some(why)) => format!("not yet; refused {} times: {why}", self.tries),
            (None, None, None) => "not yet".to_owned(),
        }
    }
}

/// Key and value of a rejected record. If the record is cut, only their beginning.
#[derive(Debug, Clone, sqlx_macros::FromRow)]
pub struct Original {
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
}

#[derive(Debug, Clone, sqlx_macros::FromRow)]
pub struct DeadLetterRow {
    pub id: i64,
    #[sqlx(flatten)]
    pub letter: DeadLetterRecord,
}

#[derive(Debug, Clone)]
pub struct DeadLetterPage {
    pub rows: Vec<DeadLetterRow>,
    pub newer: Option<i64>,
    pub older: Option<i64>,
    pub now: DateTime<Utc>,
}

#[derive(Debug, Clone)]
pub struct DeadLetterText {
    pub letter: DeadLetterRecord,
    pub beginning: Vec<u8>,
    pub now: DateTime<Utc>,
}

macro_rules! select_dead_letter {
    ($rest:literal) => {
        concat!(
            r#"SELECT o.id, o.source_topic AS topic, o.source_partition AS partition, o.source_offset AS "offset",
                      (SELECT jsonb_object_agg(h.pair ->> 0, h.pair ->> 1)
                       FROM jsonb_array_elements(o.headers) AS h (pair)) AS headers,
                      COALESCE(i.value_bytes, length(i.value))::bigint AS bytes,
                      i.value_bytes IS NOT NULL AS is_cut, o.created_at, o.sent_at, o.tries, o.refusal, o.set_aside_at
               FROM outbox o JOIN inbox i ON i.topic = o.source_topic AND i.partition = o.source_partition
                                         AND i."offset" = o.source_offset
               WHERE o.kind = 'DEAD_LETTER' "#,
            $rest
        )
    };
}

impl Ledger {
    /// Reads the latest rejected records, newest first. If `code` is given, reads only records with this code; if
    /// `set_aside`, only those whose dead letter was set aside.
    pub async fn dead_letters(
        &self,
        code: Option<FailureCode>,
        set_aside: bool,
        limit: i64,
    ) -> Result<Vec<DeadLetterRecord>, Error> {
        Ok(sqlx::query_as(select_dead_letter!(
            "AND ($1::text IS NULL OR o.headers @> jsonb_build_array(jsonb_build_array('mf_code', $1)))
             AND (NOT $3 OR (o.set_aside_at IS NOT NULL AND o.sent_at IS NULL)) ORDER BY o.id DESC LIMIT $2"
        ))
        .bind(code.map(FailureCode::as_str))
        .bind(limit)
        .bind(set_aside)
        .fetch_all(&self.pool)
        .await?)
    }

    /// Reads the rejected record at these coordinates, with its key and original bytes. `None` if no record was
    /// rejected there.
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

    async fn dead_letter_of(&self, source: &Coordinates) -> Result<Option<DeadLetterRecord>, Error> {
        Ok(sqlx::query_as(select_dead_letter!(
            "AND o.source_topic = $1 AND o.source_partition = $2 AND o.source_offset = $3"
        ))
        .bind(&source.topic)
        .bind(source.partition)
        .bind(source.offset)
        .fetch_optional(&self.pool)
        .await?)
    }

    pub async fn dead_letter_page(&self, part: PagePart<i64>, limit: usize) -> Result<DeadLetterPage, Error> {
        let now = self.clock().await?;
        let wanted = limit as i64 + 1;
        let newest = select_dead_letter!("AND ($1::bigint IS NULL OR o.id < $1) ORDER BY o.id DESC LIMIT $2");
        let query = match part {
            PagePart::Newest => sqlx::query_as(newest).bind(None::<i64>),
            PagePart::OlderThan(id) => sqlx::query_as(newest).bind(Some(id)),
            PagePart::NewerThan(id) => {
                sqlx::query_as(select_dead_letter!("AND o.id > $1 ORDER BY o.id LIMIT $2")).bind(Some(id))
            }
        };
        let mut rows: Vec<DeadLetterRow> = query.bind(wanted).persistent(false).fetch_all(&self.pool).await?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let (first, last) = (rows.first().map(|row| row.id), rows.last().map(|row| row.id).filter(|_| more));
        let (newer, older) = match part {
            PagePart::Newest => (None, last),
            PagePart::OlderThan(id) => (first.or(Some(id)), last),
            PagePart::NewerThan(_) if !more => return Box::pin(self.dead_letter_page(PagePart::Newest, limit)).await,
            PagePart::NewerThan(_) => {
                rows.reverse();
                (last, first)
            }
        };
        Ok(DeadLetterPage { rows, newer, older, now })
    }

    /// Reads the rejected record at these coordinates with its first `most` bytes. `None` if no record was rejected
    /// there.
    pub async fn dead_letter_text(&self, source: &Coordinates, most: i32) -> Result<Option<DeadLetterText>, Error> {
        let now = self.clock().await?;
        let Some(letter) = self.dead_letter_of(source).await? else { return Ok(None) };
        let beginning = sqlx::query_scalar(
            r#"SELECT substring(value FROM 1 FOR $4) FROM inbox WHERE topic = $1 AND partition = $2 AND "offset" = $3"#,
        )
        .bind(&source.topic)
        .bind(source.partition)
        .bind(source.offset)
        .bind(most)
        .fetch_one(&self.pool)
        .await?;
        Ok(Some(DeadLetterText { letter, beginning, now }))
    }
}
