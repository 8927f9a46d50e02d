//! What a verification has found so far.

use crate::domain::audit_log::BrokenBlock;
use crate::domain::contract::{ActKind, AuditActs, Head};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::BTreeMap;

const NAMED: usize = 20;

#[derive(Debug, Clone, Serialize)]
pub struct AuditVerdict {
    /// The last verified block of the chain: if a block is broken, the one before it.
    pub head: Head,
    /// Time of the first block; no block reports rows from before. `None` while the log is empty.
    pub began_at: Option<DateTime<Utc>>,
    /// From this time on every row of the ledger must be in a block.
    pub since: Option<DateTime<Utc>>,
    pub acts: u64,
    pub agreeing: AgreeingRows,
    /// Number of logged rows that are gone because they were pruned, as a later block says.
    pub pruned: u64,
    pub broken: Option<BrokenBlock>,
    /// In words, where log and ledger differ; only the first 20.
    pub disagreements: Vec<String>,
}

/// Number of rows that agree with the log, by table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct AgreeingRows {
    pub transitions: u64,
    /// Records whose outcome and digest of bytes agree, too.
    pub inbox: u64,
    pub acts: u64,
    pub registry_events: u64,
}

impl AuditVerdict {
    pub fn holds(&self) -> bool {
        self.broken.is_none() && self.disagreements.is_empty()
    }
}

pub(super) struct LogVerification {
    pub(super) verdict: AuditVerdict,
    /// Logged rows that their table lacks, by run or record: number of the last block that reports one, and how many
    /// rows.
    missing: BTreeMap<String, (i64, u64)>,
}

impl LogVerification {
    pub(super) fn new(since: Option<DateTime<Utc>>) -> Self {
        let verdict = AuditVerdict {
            head: Head::start(),
            began_at: None,
            since,
            acts: 0,
            agreeing: AgreeingRows::default(),
            pruned: 0,
            broken: None,
            disagreements: Vec::new(),
        };
        Self { verdict, missing: BTreeMap::new() }
    }

    pub(super) fn disagree(&mut self, what: String) {
        if self.verdict.disagreements.len() < NAMED {
            self.verdict.disagreements.push(what);
        }
    }

    /// Notes that block `seq` reports a row of this run or record that its table lacks; a later block may still explain
    /// it.
    pub(super) fn miss(&mut self, key: &str, seq: i64) {
        let (last, rows) = self.missing.entry(key.to_owned()).or_insert((seq, 0));
        *last = seq;
        *rows += 1;
    }

    /// Counts missing rows as pruned if this block says that the rows of their run or record were deleted.
    pub(super) fn forgive(&mut self, body: &AuditActs) {
        let pruned = body.acts.iter().filter(|act| act.act == ActKind::LedgerPruned);
        for removed in pruned.filter_map(|act| act.removed.as_ref()) {
            for key in removed.run_ids.iter().chain(&removed.records) {
                if let Some((_, rows)) = self.missing.remove(key) {
                    self.verdict.pruned += rows;
                }
            }
        }
    }

    pub(super) fn report_missing(&mut self) {
        for (key, (seq, _)) in std::mem::take(&mut self.missing) {
            self.disagree(format!("block {seq} tells of {key}, which the ledger does not hold as told"));
        }
    }
}
