//! Refused records, newest first, page by page.

use super::super::find::{DeadLetterRecord, dead_letter, select_letter};
use super::Part;
use crate::adapters::ledger::types::Coordinates;
use crate::adapters::ledger::{Error, Ledger};
use chrono::{DateTime, Utc};
use sqlx::Row as _;

/// A refused record in the list.
#[derive(Debug, Clone)]
pub struct LetterRow {
    /// Where it stands in the list.
    pub id: i64,
    /// What was refused, and why.
    pub letter: DeadLetterRecord,
}

/// A page of refused records, newest first.
#[derive(Debug, Clone)]
pub struct LetterPage {
    /// The records.
    pub rows: Vec<LetterRow>,
    /// There are newer ones than this.
    pub newer: Option<i64>,
    /// There are older ones than this.
    pub older: Option<i64>,
    /// The database's clock.
    pub now: DateTime<Utc>,
}

/// A refused record with the beginning of its bytes.
#[derive(Debug, Clone)]
pub struct LetterText {
    /// What was refused, and why.
    pub letter: DeadLetterRecord,
    /// The first bytes of the record.
    pub beginning: Vec<u8>,
    /// The database's clock.
    pub now: DateTime<Utc>,
}

impl Ledger {
    /// A page of refused records.
    pub async fn letter_page(&self, part: Part<i64>, limit: usize) -> Result<LetterPage, Error> {
        let now = self.clock().await?;
        let wanted = limit as i64 + 1;
        let newest = select_letter!("AND ($1::bigint IS NULL OR o.id < $1) ORDER BY o.id DESC LIMIT $2");
        let query = match part {
            Part::Newest => sqlx::query(newest).bind(None::<i64>),
            Part::OlderThan(id) => sqlx::query(newest).bind(Some(id)),
            Part::NewerThan(id) => sqlx::query(select_letter!("AND o.id > $1 ORDER BY o.id LIMIT $2")).bind(Some(id)),
        };
        let found = query.bind(wanted).persistent(false).fetch_all(&self.pool).await?;
        let mut rows = Vec::with_capacity(found.len());
        for row in &found {
            rows.push(LetterRow { id: row.try_get(7)?, letter: dead_letter(row)? });
        }
        let more = rows.len() > limit;
        rows.truncate(limit);
        let (first, last) = (rows.first().map(|row| row.id), rows.last().map(|row| row.id).filter(|_| more));
        let (newer, older) = match part {
            Part::Newest => (None, last),
            Part::OlderThan(id) => (first.or(Some(id)), last),
            Part::NewerThan(_) if !more => return Box::pin(self.letter_page(Part::Newest, limit)).await,
            Part::NewerThan(_) => {
                rows.reverse();
                (last, first)
            }
        };
        Ok(LetterPage { rows, newer, older, now })
    }

    /// The refused record that stood here, with its first bytes, so many at the most.
    pub async fn letter_text(&self, source: &Coordinates, most: i32) -> Result<Option<LetterText>, Error> {
        let now = self.clock().await?;
        let Some(letter) = self.letter_of(source).await? else { return Ok(None) };
        let text = sqlx::query(
            r#"SELECT substring(value FROM 1 FOR $4) FROM inbox WHERE topic = $1 AND partition = $2 AND "offset" = $3"#,
        )
        .bind(&source.topic)
        .bind(source.partition)
        .bind(source.offset)
        .bind(most)
        .fetch_one(&self.pool)
        .await?;
        Ok(Some(LetterText { letter, beginning: text.try_get(0)?, now }))
    }
}
