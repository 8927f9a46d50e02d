//! A transaction's acts become one block of the audit log, as the last statement before its COMMIT.
//!
//! Guarantees: an act is in the log if and only if its transaction was committed; blocks are numbered in the order of
//! commits, without holes. Never: takes any other lock once it holds the log's own, so that nobody who waits for it
//! holds up the one who has it.

use super::blocks::HeadRow;
use crate::adapters::ledger::Error;
use crate::domain::audit_log::Block;
use crate::domain::contract::AuditAct;
use crate::failpoints::failpoint;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// Key of the advisory lock under which the head of the chain is read and moved.
const HEAD_LOCK: i64 = 0x6d66_6175_6469_7400;
/// The server ends a process that freezes while it holds the lock; the others wait no longer than this.
const HELD_AT_MOST_MS: &str = "5000";

#[derive(sqlx_macros::FromRow)]
struct HeadNow {
    now: DateTime<Utc>,
    #[sqlx(flatten)]
    head: HeadRow,
}

/// Appends one block; without acts nothing.
pub async fn append(connection: &mut PgConnection, by: &str, acts: &[AuditAct]) -> Result<(), Error> {
    if acts.is_empty() {
        return Ok(());
    }
    let body = Block::text(by, acts);
    failpoint("audit.before")?;
    sqlx::query("SELECT set_config('idle_in_transaction_session_timeout', $2, true), pg_advisory_xact_lock($1)")
        .bind(HEAD_LOCK)
        .bind(HELD_AT_MOST_MS)
        .execute(&mut *connection)
        .await?;
    // A statement of its own: its snapshot has to be younger than the lock.
    let HeadNow { now, head } = sqlx::query_as(
        "SELECT now(), h.seq, h.digest FROM (SELECT) one
         LEFT JOIN LATERAL (SELECT seq, digest FROM audit_log ORDER BY seq DESC LIMIT 1) h ON true",
    )
    .fetch_one(&mut *connection)
    .await?;
    let block = Block::behind(&head.into(), now, body);
    sqlx::query("INSERT INTO audit_log (seq, at, body, previous, digest) VALUES ($1, $2, $3, $4, $5)")
        .bind(block.seq)
        .bind(block.at)
        .bind(&block.body)
        .bind(block.previous.as_bytes().as_slice())
        .bind(block.digest.as_bytes().as_slice())
        .execute(connection)
        .await?;
    failpoint("audit.told")?;
    Ok(())
}
