//! Blocks of the audit log, as they are stored.

use crate::adapters::ledger::Error;
use crate::domain::audit_log::Block;
use crate::domain::contract::Head;
use crate::domain::identity::Digest;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// The last block; both columns are null where the log is empty.
#[derive(Default, sqlx_macros::FromRow)]
pub(super) struct HeadRow {
    seq: Option<i64>,
    digest: Option<Digest>,
}

impl From<HeadRow> for Head {
    fn from(row: HeadRow) -> Self {
        match row {
            HeadRow { seq: Some(seq), digest: Some(digest) } => Self { seq, digest },
            _ => Self::start(),
        }
    }
}

#[derive(sqlx_macros::FromRow)]
struct BlockRow {
    seq: i64,
    at: DateTime<Utc>,
    body: String,
    previous: Digest,
    digest: Digest,
}

/// Blocks of one page.
const PAGE: i64 = 64;

/// The blocks behind number `behind` and up to `upto`, in order, one page at the most.
pub(super) async fn page(connection: &mut PgConnection, behind: i64, upto: i64) -> Result<Vec<Block>, Error> {
    let rows: Vec<BlockRow> = sqlx::query_as(
        "SELECT seq, at, body, previous, digest FROM audit_log WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3",
    )
    .bind(behind)
    .bind(upto)
    .bind(PAGE)
    .fetch_all(connection)
    .await?;
    let block = |BlockRow { seq, at, body, previous, digest }| Block { seq, at, previous, digest, body };
    Ok(rows.into_iter().map(block).collect())
}

pub async fn head(connection: &mut PgConnection) -> Result<Head, Error> {
    let last: Option<HeadRow> = sqlx::query_as("SELECT seq, digest FROM audit_log ORDER BY seq DESC LIMIT 1")
        .fetch_optional(connection)
        .await?;
    Ok(last.unwrap_or_default().into())
}
