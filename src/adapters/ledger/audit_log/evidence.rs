//! Compares the evidence that a run's row names with the evidence that the log's acts name. The row can be changed by
//! every writer of the table; a block cannot.
//!
//! A step lists all evidence of its run, and so does the act about a receipt. The blocks of steps that changed the
//! evidence have the times that a trigger wrote to `runs.evidence_at`.

use super::blocks::BlockRow;
use crate::adapters::ledger::error::unreadable;
use crate::adapters::ledger::session::Session;
use crate::adapters::ledger::{Error, Ledger};
use crate::domain::audit_log::Block;
use crate::domain::contract::{ActKind, AuditAct, EventRefs, EvidenceRef, unreported};
use crate::domain::identity::RunId;
use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use std::collections::{BTreeMap, BTreeSet};

/// The evidence that a run's row names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EvidenceRecord {
    pub refs: EventRefs,
    /// Roles under which row and audit log name different documents, or only one of them names a document.
    pub unlogged: BTreeSet<String>,
}

/// The row and the log disagree about a document, so it is not handed out.
#[derive(Debug, thiserror::Error)]
#[error(
    "the run's row in the ledger and the acts of the audit log name different documents as {0:?}; somebody changed the row \
     beside the log, and `model-factory audit verify` lists what differs"
)]
pub struct UnloggedEvidence(String);

impl EvidenceRecord {
    /// Returns where the document of this role is stored. `None` if the run has none.
    pub fn logged(&self, role: &str) -> Result<Option<&EvidenceRef>, UnloggedEvidence> {
        if self.unlogged.contains(role) {
            return Err(UnloggedEvidence(role.to_owned()));
        }
        Ok(self.refs.get(role))
    }
}

/// The columns of an [`EvidenceRow`] of the run `r`.
macro_rules! evidence_columns {
    () => {
        "r.refs, r.evidence_at,
         (SELECT t.at FROM transitions t WHERE t.run_id = r.run_id ORDER BY t.seq DESC LIMIT 1) AS last_step_at"
    };
}
pub(in crate::adapters::ledger) use evidence_columns;

/// A run's evidence, and the times of the blocks that may name it.
#[derive(sqlx_macros::FromRow)]
pub struct EvidenceRow {
    #[sqlx(json)]
    pub refs: EventRefs,
    /// When the row's evidence changed. Empty if it did not change since the schema has the column.
    evidence_at: Vec<DateTime<Utc>>,
    last_step_at: Option<DateTime<Utc>>,
}

impl EvidenceRow {
    /// Returns the times of the blocks that may name the row's evidence. These blocks were committed together with what
    /// the row holds.
    pub fn times(&self) -> impl Iterator<Item = DateTime<Utc>> {
        self.evidence_at.iter().copied().chain(self.last_step_at)
    }

    /// Whether the row says when its evidence changed.
    pub fn is_timed(&self) -> bool {
        !self.evidence_at.is_empty()
    }
}

impl Ledger {
    /// Reads the evidence of a run, and compares it with the audit log. Empty if there is no such run.
    pub async fn evidence_of(&self, run_id: &RunId) -> Result<EvidenceRecord, Error> {
        let mut connection = self.pool.acquire().await?;
        let row: Option<EvidenceRow> =
            sqlx::query_as(concat!("SELECT ", evidence_columns!(), " FROM runs r WHERE r.run_id = $1"))
                .bind(run_id.as_str())
                .fetch_optional(&mut connection)
                .await?;
        let Some(row) = row else { return Ok(EvidenceRecord::default()) };
        // A block never changes, so the two reads need no common snapshot.
        let times: Vec<_> = row.times().collect();
        let logged = logged_evidence(&mut connection, &times).await?.remove(run_id).unwrap_or_default();
        Ok(EvidenceRecord { unlogged: unreported(&row.refs, &logged), refs: row.refs })
    }
}

/// Returns, of each run that a block of these times names, the evidence that the blocks of these times name.
pub async fn logged_evidence(
    connection: &mut Session,
    times: &[DateTime<Utc>],
) -> Result<BTreeMap<RunId, EventRefs>, Error> {
    let mut evidence: BTreeMap<RunId, EventRefs> = BTreeMap::new();
    let mut blocks = sqlx::query_as::<_, BlockRow>(
        "SELECT seq, at, body, previous, digest FROM audit_log WHERE at = ANY($1) ORDER BY seq",
    )
    .bind(times)
    .fetch(connection);
    while let Some(row) = blocks.try_next().await? {
        let acts = Block::from(row).intact().map_err(|broken| unreadable("audit log", broken))?;
        for act in &acts.acts {
            take(&mut evidence, act);
        }
    }
    Ok(evidence)
}

fn take(evidence: &mut BTreeMap<RunId, EventRefs>, act: &AuditAct) {
    let Some(run_id) = &act.subject.run_id else { return };
    if act.change.is_some() {
        evidence.insert(run_id.clone(), act.evidence_of_run());
    } else if act.act == ActKind::PublishReceiptWritten {
        evidence.entry(run_id.clone()).or_default().extend(act.evidence_of_run());
    }
}
