//! The batch of one admission, and what it has found and made so far.

use super::arrival::Arrival;
use crate::adapters::ledger::row::LockedRun;
use crate::adapters::ledger::transaction::Transaction;
use crate::domain::contract::TrainBuildRequest;
use crate::domain::identity::{Digest, RunId};
use crate::domain::run::Outcome;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Records are named by their index in the batch.
pub(super) struct Admission<'a> {
    pub(super) transaction: Transaction<'a>,
    pub(super) batch: &'a [Arrival],
    pub(super) outcomes: Vec<Option<Outcome>>,
    /// By request id: those that records of this batch bring.
    pub(super) requests: BTreeMap<&'a str, KnownRequest>,
    /// Runs that the batch touches, all of them locked or inserted by this transaction.
    pub(super) runs: BTreeMap<RunId, LockedRun>,
    /// The same rows as the database has them: only those that changed are written.
    pub(super) stored: HashMap<RunId, LockedRun>,
    pub(super) created: BTreeSet<RunId>,
    /// Request ids whose first duplicate got its event from this batch.
    pub(super) announced: BTreeSet<&'a str>,
    /// Runs by their near key, for the meanings of this batch.
    pub(super) near_misses: HashMap<Digest, Vec<RunId>>,
}

/// A stored request, for comparison with an arrival of the same id.
pub(super) struct KnownRequest {
    pub(super) run_id: RunId,
    pub(super) payload_digest: Digest,
    /// Read only where an arrival contradicts it.
    pub(super) request: Option<Arc<TrainBuildRequest>>,
    /// The record that brought it, where this transaction inserted it.
    pub(super) inserted_by: Option<usize>,
    pub(super) duplicate_announced: bool,
}

impl<'a> Admission<'a> {
    pub(super) fn new(transaction: Transaction<'a>, batch: &'a [Arrival]) -> Self {
        Self {
            transaction,
            batch,
            outcomes: Vec::new(),
            requests: BTreeMap::new(),
            runs: BTreeMap::new(),
            stored: HashMap::new(),
            created: BTreeSet::new(),
            announced: BTreeSet::new(),
            near_misses: HashMap::new(),
        }
    }

    pub(super) fn undecided(&self) -> Vec<usize> {
        (0..self.batch.len()).filter(|&index| self.outcomes[index].is_none()).collect()
    }
}
