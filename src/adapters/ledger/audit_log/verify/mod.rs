//! Verifies the audit log: checks that its chain is unbroken, and that the ledger's other tables agree with it.
//!
//! Reads everything in one snapshot, page by page. Never: writes; keeps more than a page of the log in memory, unless
//! it has to name a row that no block reports.

mod compare;
mod runs;
mod unlogged;
mod verdict;

pub use verdict::AuditVerdict;

use super::blocks::{head, page};
use crate::adapters::ledger::connection::Ledger;
use crate::adapters::ledger::error::Error;
use crate::adapters::ledger::session::Session;
use crate::domain::audit_log::Chain;
use crate::domain::contract::Head;
use chrono::{DateTime, Utc};
use compare::LoggedActs;
use verdict::LogVerification;

impl Ledger {
    /// Checks the chain from its first block, and compares it with the ledger's tables. If `anchor` is given, the chain
    /// must contain that block. Rows older than `since` may be missing from the log. If `since` is `None`, the first
    /// block's time is used.
    pub async fn verify_audit_log(
        &self,
        anchor: Option<Head>,
        since: Option<DateTime<Utc>>,
        mut progress: impl FnMut(i64, i64),
    ) -> Result<AuditVerdict, Error> {
        let mut transaction = self.snapshot().await?;
        let verdict = verify(&mut transaction, anchor, since, &mut progress).await?;
        transaction.rollback().await?;
        Ok(verdict)
    }
}

async fn verify(
    connection: &mut Session,
    anchor: Option<Head>,
    since: Option<DateTime<Utc>>,
    progress: &mut impl FnMut(i64, i64),
) -> Result<AuditVerdict, Error> {
    let last = head(connection).await?;
    let mut chain = Chain::new(anchor);
    let mut verification = LogVerification::new(since);
    loop {
        let blocks = page(connection, chain.head().seq, last.seq).await?;
        if blocks.is_empty() {
            break;
        }
        let mut logged = LoggedActs::default();
        let mut bodies = Vec::with_capacity(blocks.len());
        for block in &blocks {
            match chain.follow(block) {
                Ok(body) => bodies.push((block, body)),
                Err(broken) => {
                    verification.verdict.broken = Some(broken);
                    verification.verdict.head = chain.head();
                    return Ok(verification.verdict);
                }
            }
        }
        for (block, body) in &bodies {
            verification.verdict.began_at.get_or_insert(block.at);
            verification.verdict.since.get_or_insert(block.at);
            verification.verdict.acts += body.acts.len() as u64;
            logged.take(block, body);
        }
        logged.compare(connection, &mut verification).await?;
        // All tables are read in one snapshot, so a row that a later block reports as pruned was counted as missing
        // above.
        for (_, body) in &bodies {
            verification.forgive(body);
        }
        progress(chain.head().seq, last.seq);
    }
    verification.verdict.head = chain.head();
    if let Err(broken) = chain.end() {
        verification.verdict.broken = Some(broken);
        return Ok(verification.verdict);
    }
    verification.report_missing();
    runs::look(connection, &mut verification).await?;
    unlogged::look(connection, &mut verification).await?;
    Ok(verification.verdict)
}
