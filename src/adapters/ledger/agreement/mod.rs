//! Whether the audit log holds: its chain, and that it and the ledger's other tables tell the same.
//!
//! Reads everything in one snapshot, page by page. Never: writes; keeps more of the log in memory than a page, unless
//! it has to name a row that nobody told.

mod compare;
mod untold;

use super::audit_log::{head, page};
use super::{Error, Ledger};
use crate::domain::audit_log::{BrokenBlock, Chain};
use crate::domain::contract::{ActKind, AuditActs, Head};
use chrono::{DateTime, Utc};
use compare::Page;
use serde::Serialize;
use sqlx::PgConnection;
use std::collections::BTreeMap;

/// Disagreements that are named at the most.
const NAMED: usize = 20;

/// What a verification came to.
#[derive(Debug, Clone, Serialize)]
pub struct AuditVerdict {
    /// Where the chain stands, or stood before the block that is broken.
    pub head: Head,
    /// When the log begins: it tells nothing from before.
    pub began_at: Option<DateTime<Utc>>,
    /// From when on every row of the ledger must be told.
    pub since: Option<DateTime<Utc>>,
    /// Acts in it.
    pub acts: u64,
    /// Rows that agree with it.
    pub agreeing: Agreeing,
    /// Told rows that a later block tells were deleted.
    pub pruned: u64,
    /// The first block that does not fit.
    pub broken: Option<Said>,
    /// Where log and ledger tell different things; the first twenty.
    pub disagreements: Vec<String>,
}

/// A block and what is wrong with it.
#[derive(Debug, Clone, Serialize)]
pub struct Said {
    /// Its number.
    pub seq: i64,
    /// Why.
    pub why: String,
}

impl From<BrokenBlock> for Said {
    fn from(broken: BrokenBlock) -> Self {
        Self { seq: broken.seq, why: broken.why }
    }
}

/// Rows that agree with the log, by table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Agreeing {
    /// Steps of runs.
    pub transitions: u64,
    /// Records of the request topic with their outcome and the digest of their bytes.
    pub inbox: u64,
    /// What requesters and operators asked for.
    pub acts: u64,
    /// What the registry said.
    pub registry_events: u64,
}

impl AuditVerdict {
    /// Whether nothing was found.
    pub fn holds(&self) -> bool {
        self.broken.is_none() && self.disagreements.is_empty()
    }
}

/// A verification on its way.
struct Agreement {
    verdict: AuditVerdict,
    /// Told rows that are not there, by run or record: the last block that tells of one, and how many.
    gone: BTreeMap<String, (i64, u64)>,
}

impl Agreement {
    fn disagree(&mut self, what: String) {
        if self.verdict.disagreements.len() < NAMED {
            self.verdict.disagreements.push(what);
        }
    }

    /// What a block tells was deleted explains rows that are not there, of blocks before it.
    fn forgive(&mut self, body: &AuditActs) {
        for removed in
            body.acts.iter().filter(|act| act.act == ActKind::LedgerPruned).filter_map(|a| a.removed.as_ref())
        {
            for key in removed.run_ids.iter().chain(&removed.records) {
                if let Some((_, rows)) = self.gone.remove(key) {
                    self.verdict.pruned += rows;
                }
            }
        }
    }
}

impl Ledger {
    /// Follows the chain from its first block and compares it with the ledger. Rows from before `since`, or else
    /// from before the log begins, need not be told. `at` is called with how far it is.
    pub async fn verify_audit_log(
        &self,
        anchor: Option<Head>,
        since: Option<DateTime<Utc>>,
        mut at: impl FnMut(i64, i64),
    ) -> Result<AuditVerdict, Error> {
        let mut transaction = self.snapshot().await?;
        let verdict = verify(&mut transaction, anchor, since, &mut at).await?;
        transaction.rollback().await?;
        Ok(verdict)
    }

    /// One view of everything, for as long as it takes.
    pub(super) async fn snapshot(&self) -> Result<sqlx::Transaction<'static, sqlx::Postgres>, Error> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY").execute(&mut *transaction).await?;
        sqlx::query("SET LOCAL statement_timeout = 0").execute(&mut *transaction).await?;
        Ok(transaction)
    }
}

async fn verify(
    connection: &mut PgConnection,
    anchor: Option<Head>,
    since: Option<DateTime<Utc>>,
    at: &mut impl FnMut(i64, i64),
) -> Result<AuditVerdict, Error> {
    let last = head(connection).await?;
    let mut chain = Chain::new(anchor);
    let mut agreement = Agreement {
        verdict: AuditVerdict {
            head: Head::start(),
            began_at: None,
            since,
            acts: 0,
            agreeing: Agreeing::default(),
            pruned: 0,
            broken: None,
            disagreements: Vec::new(),
        },
        gone: BTreeMap::new(),
    };
    loop {
        let blocks = page(connection, chain.head().seq, last.seq).await?;
        if blocks.is_empty() {
            break;
        }
        let mut told = Page::default();
        let mut bodies = Vec::with_capacity(blocks.len());
        for block in &blocks {
            match chain.follow(block) {
                Ok(body) => bodies.push((block, body)),
                Err(broken) => {
                    agreement.verdict.broken = Some(broken.into());
                    agreement.verdict.head = chain.head();
                    return Ok(agreement.verdict);
                }
            }
        }
        for (block, body) in &bodies {
            agreement.verdict.began_at.get_or_insert(block.at);
            agreement.verdict.since.get_or_insert(block.at);
            agreement.verdict.acts += body.acts.len() as u64;
            told.take(block, body);
        }
        told.compare(connection, &mut agreement).await?;
        // Rows are read as they stand now: what a later block deletes was looked for in vain above.
        for (_, body) in &bodies {
            agreement.forgive(body);
        }
        at(chain.head().seq, last.seq);
    }
    agreement.verdict.head = chain.head();
    if let Err(broken) = chain.end() {
        agreement.verdict.broken = Some(broken.into());
        return Ok(agreement.verdict);
    }
    let gone: Vec<String> = agreement
        .gone
        .iter()
        .map(|(key, (seq, _))| format!("block {seq} tells of {key}, which the ledger does not hold as told"))
        .collect();
    for what in gone {
        agreement.disagree(what);
    }
    untold::look(connection, &mut agreement).await?;
    Ok(agreement.verdict)
}
