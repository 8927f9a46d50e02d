//! What a verification of the audit log has found so far.

use crate::domain::audit_log::BrokenBlock;
use crate::domain::contract::{ActKind, AuditActs, Head};
use crate::domain::identity::RunId;
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

const NAMED: usize = 20;

#[derive(Debug, Clone, Serialize)]
pub struct AuditVerdict {
    /// The last verified block of the chain. If a block is broken, the block before it.
    pub head: Head,
    /// Time of the first block. No block reports earlier rows. `None` if the log is empty.
    pub began_at: Option<DateTime<Utc>>,
    /// Every row of the ledger from this time on must be in a block. `None` if the log is empty.
    pub since: Option<DateTime<Utc>>,
    pub acts: u64,
    pub agreeing: AgreeingRows,
    /// Number of logged rows that were pruned, as a later block reports.
    pub pruned: u64,
    pub broken: Option<BrokenBlock>,
    /// Sentences that say where log and ledger differ. Only the first 20 are kept.
    pub disagreements: Vec<String>,
}

/// Number of rows that agree with the log, for each table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct AgreeingRows {
    pub transitions: u64,
    /// Records of the request topic. Their outcome and the digest of their bytes agree too.
    pub inbox: u64,
    pub acts: u64,
    pub registry_events: u64,
    /// Runs with at least one step. Their state and evidence agree with the last one.
    pub runs: u64,
    /// Receipts of publications, which the rows of their runs name.
    pub receipts: u64,
}

impl AuditVerdict {
    pub fn holds(&self) -> bool {
        self.broken.is_none() && self.disagreements.is_empty()
    }
}

pub(super) struct LogVerification {
    pub(super) verdict: AuditVerdict,
    /// Logged rows that their table lacks. The key is a run or record. The value is the number of the last block that
    /// reports such a row, and the number of rows.
    missing: BTreeMap<String, (i64, u64)>,
    /// Runs whose steps were pruned: how the row differs from the last step that was read so far; `None` if it agrees.
    pub(super) pruned_runs: HashMap<RunId, Option<String>>,
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
        Self { verdict, missing: BTreeMap::new(), pruned_runs: HashMap::new() }
    }

    pub(super) fn disagree(&mut self, what: String) {
        if self.verdict.disagreements.len() < NAMED {
            self.verdict.disagreements.push(what);
        }
    }

    /// Counts a run whose row was compared with its last step. `what` says how they differ; `None` if they agree.
    pub(super) fn compared_run(&mut self, what: Option<String>) {
        match what {
            None => self.verdict.agreeing.runs += 1,
            Some(what) => self.disagree(what),
        }
    }

    /// Notes that block `seq` reports a row of this run or record that its table lacks. A later block may still explain
    /// the missing row.
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
