//! Blocks of the audit log. The last statement before a transaction's COMMIT appends its acts as one block. Tools read
//! the blocks.
//!
//! Guarantees: an act is in the log if and only if its transaction was committed. Blocks are numbered in the order of
//! commits, without holes. Never: takes another lock while it holds the log's lock, so that the holder of the log's
//! lock never waits for a lock.

use crate::adapters::ledger::session::Session;
use crate::adapters::ledger::{Error, Ledger};
use crate::domain::audit_log::Block;
use crate::domain::contract::{AuditAct, Head};
use crate::domain::identity::Digest;
use crate::failpoints::failpoint;
use chrono::{DateTime, Utc};

const PAGE: i64 = 64;

/// Number and digest of the last block. Both are `None` if the log is empty.
#[derive(Default, sqlx_macros::FromRow)]
struct HeadRow {
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
pub(super) struct BlockRow {
    seq: i64,
    at: DateTime<Utc>,
    body: String,
    previous: Digest,
    digest: Digest,
}

impl From<BlockRow> for Block {
    fn from(BlockRow { seq, at, body, previous, digest }: BlockRow) -> Self {
        Self { seq, at, previous, digest, body }
    }
}

impl Ledger {
    /// Appends acts that change no row of another table. Opens a transaction for them.
    pub async fn append_acts(&self, by: &str, acts: Vec<AuditAct>) -> Result<(), Error> {
        let mut transaction = self.begin(by).await?;
        transaction.effects.acts = acts;
        transaction.commit(None, None).await
    }

    pub async fn audit_head(&self) -> Result<Head, Error> {
        let mut connection = self.pool.acquire().await?;
        head(&mut connection).await
    }

    /// Reads the blocks numbered above `behind` up to `upto`, ascending, at most one page. Empty if there are none.
    pub async fn audit_blocks(&self, behind: i64, upto: i64) -> Result<Vec<Block>, Error> {
        let mut connection = self.pool.acquire().await?;
        page(&mut connection, behind, upto).await
    }
}

pub(super) async fn page(connection: &mut Session, behind: i64, upto: i64) -> Result<Vec<Block>, Error> {
    let rows: Vec<BlockRow> = sqlx::query_as(
        "SELECT seq, at, body, previous, digest FROM audit_log WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3",
    )
    .bind(behind)
    .bind(upto)
    .bind(PAGE)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Block::from).collect())
}

pub async fn head(connection: &mut Session) -> Result<Head, Error> {
    let last: Option<HeadRow> = sqlx::query_as("SELECT seq, digest FROM audit_log ORDER BY seq DESC LIMIT 1")
        .fetch_optional(connection)
        .await?;
    Ok(last.unwrap_or_default().into())
}

/// Appends one block with these acts. Without acts, appends nothing.
pub async fn append(connection: &mut Session, by: &str, acts: &[AuditAct]) -> Result<(), Error> {
    if acts.is_empty() {
        return Ok(());
    }
    let body = Block::text(by, acts);
    failpoint("audit.before")?;
    // A trigger takes the lock on the log's head, and gives the block its number, time and digests.
    sqlx::query("INSERT INTO audit_log (body) VALUES ($1)").bind(&body).execute(connection).await?;
    failpoint("audit.told")?;
    Ok(())
}
