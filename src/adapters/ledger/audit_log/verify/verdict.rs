//! What a verification has found so far.

use crate::domain::audit_log::BrokenBlock;
use crate::domain::contract::{ActKind, AuditActs, Head};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::BTreeMap;

const NAMED: usize = 20;

#[derive(Debug, Clone, Serialize)]
pub struct AuditVerdict {
    /// The last block of the chain, or the last one before the block that is broken.
    pub head: Head,
    /// When the log begins; rows from before are in no block.
    pub began_at: Option<DateTime<Utc>>,
    /// From when on every row of the ledger must be in a block.
    pub since: Option<DateTime<Utc>>,
    pub acts: u64,
    pub agreeing: AgreeingRows,
    /// Logged rows that are gone, since a later block says that they were deleted.
    pub pruned: u64,
    pub broken: Option<BrokenBlock>,
    /// Where log and ledger differ; the first twenty.
    pub disagreements: Vec<String>,
}

/// Rows that agree with the log, by table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct AgreeingRows {
    pub transitions: u64,
    /// With their outcome and the digest of their bytes.
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
    /// Logged rows that are not there, by run or record: the last block that has one, and how many.
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

    /// A row of this run or record is not there; a later block may still explain that.
    pub(super) fn miss(&mut self, key: &str, seq: i64) {
        let (last, rows) = self.missing.entry(key.to_owned()).or_insert((seq, 0));
        *last = seq;
        *rows += 1;
    }

    /// A block that says what was deleted explains rows that are missing, of blocks before it.
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
