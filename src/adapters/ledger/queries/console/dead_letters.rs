//! Refused records, newest first, page by page.

use super::page::PagePart;
use crate::adapters::ledger::queries::dead_letters::{DeadLetterColumns, DeadLetterRecord, select_dead_letter};
use crate::adapters::ledger::{Coordinates, Error, Ledger};
use chrono::{DateTime, Utc};

/// A refused record in the list.
#[derive(Debug, Clone)]
pub struct DeadLetterRow {
    /// Orders the list.
    pub id: i64,
    pub letter: DeadLetterRecord,
}

/// A page of refused records, newest first.
#[derive(Debug, Clone)]
pub struct DeadLetterPage {
    pub rows: Vec<DeadLetterRow>,
    /// There are newer ones than this.
    pub newer: Option<i64>,
    /// There are older ones than this.
    pub older: Option<i64>,
    /// The database's clock.
    pub now: DateTime<Utc>,
}

/// A refused record with the beginning of its bytes.
#[derive(Debug, Clone)]
pub struct DeadLetterText {
    pub letter: DeadLetterRecord,
    /// The first bytes of the record.
    pub beginning: Vec<u8>,
    /// The database's clock.
    pub now: DateTime<Utc>,
}

impl Ledger {
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
        let found: Vec<DeadLetterColumns> = query.bind(wanted).persistent(false).fetch_all(&self.pool).await?;
        let row = |columns: DeadLetterColumns| DeadLetterRow { id: columns.id, letter: columns.into() };
        let mut rows: Vec<DeadLetterRow> = found.into_iter().map(row).collect();
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

    /// The refused record that stood here, with its first bytes, at most `most`.
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
