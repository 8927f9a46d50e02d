//! What OpenLineage is told while a run is worked on. Nothing here decides anything: where lineage is off, nothing
//! here does anything.

use super::desk::Desk;
use super::stages::{Gated, Packed, Reported, Resolved};
use super::{Interrupted, Runner};
use crate::contract::{BundleArtifact, EvidenceRef};
use crate::ledger::{Guarded, Known, Lease};
use crate::lineage::{Account, Places, Written};
use crate::pipeline::FileColumn;
use crate::trainer::COLUMNS_FILE;
use std::path::Path;
use tracing::warn;

/// Bytes of the children's account of columns at the most: what is larger would not fit into an event.
const MAX_COLUMNS_BYTES: u64 = 4 * 1024 * 1024;

impl Runner {
    /// What the plan will read.
    pub(super) async fn tell_resolved(&self, lease: &Lease, resolved: &Resolved) -> Result<(), Interrupted> {
        let Some(places) = &self.lineage else { return Ok(()) };
        self.tell(lease, Known::Resolved, Account::of(&resolved.plan, &[], places)).await
    }

    /// What was read, with the columns that the child found in the files.
    pub(super) async fn tell_read(
        &self,
        lease: &Lease,
        resolved: &Resolved,
        job_dir: &Path,
    ) -> Result<(), Interrupted> {
        let Some(places) = &self.lineage else { return Ok(()) };
        let Some(columns) = found_columns(job_dir).await else { return Ok(()) };
        self.tell(lease, Known::Read, Account::of(&resolved.plan, &columns, places)).await
    }

    async fn tell(&self, lease: &Lease, known: Known, account: Account) -> Result<(), Interrupted> {
        match self.ledger.tell_lineage(lease, known, account).await? {
            Guarded::Won(_) => Ok(()),
            Guarded::Lost => Err(Interrupted::Lost),
        }
    }

    /// What a run read, wrote and was found to be, for the step of its verdict.
    pub(super) fn account(
        &self,
        desk: &Desk<'_>,
        lease: &Lease,
        resolved: &Resolved,
        report: &Reported,
        gated: &Gated,
        packed: Option<&Packed>,
    ) -> Option<Account> {
        let places = self.lineage.as_ref()?;
        let made = &report.report.provenance;
        let rows = report.report.metrics.dataset.test.rows;
        let scores = Written { rows: Some(rows), ..written(&made.scores, "scores", None) };
        let bytes = Some(report.stored.bytes.len() as u64);
        let mut account = Account::of(&resolved.plan, &[], places)
            .judged(&made.scores, rows, &gated.receipt, places)
            .wrote(&scores, places)
            .wrote(&written(&report.stored.at, "eval_report", bytes), places);
        if lease.request.intent_kind.trains() {
            account = account.wrote(&written(&made.model, "model", None), places);
        }
        Some(match packed {
            Some(packed) => with_bundle(account, &desk.folder.bundle_folder(), packed, places),
            None => account,
        })
    }
}

fn with_bundle(account: Account, folder: &str, packed: &Packed, places: &Places) -> Account {
    let bundle = &packed.bundle;
    let signature = packed.signature.iter().map(|file: &BundleArtifact| file.bytes);
    let sizes: Vec<u64> = bundle.files.iter().map(|file| file.bytes.len() as u64).chain(signature).collect();
    let written = Written {
        path: folder,
        sha256: bundle.bundle_id,
        version: Some(&bundle.bundle_version),
        role: "bundle",
        rows: None,
        bytes: Some(sizes.iter().sum()),
        files: sizes.len() as u64,
    };
    account.wrote(&written, places)
}

fn written<'a>(at: &'a EvidenceRef, role: &'static str, bytes: Option<u64>) -> Written<'a> {
    Written { path: &at.reference, sha256: at.sha256, version: None, role, rows: None, bytes, files: 1 }
}

/// As the child left them; none where it did not get that far.
async fn found_columns(job_dir: &Path) -> Option<Vec<Vec<FileColumn>>> {
    let path = job_dir.join(COLUMNS_FILE);
    let size = tokio::fs::metadata(&path).await.ok()?.len();
    if size > MAX_COLUMNS_BYTES {
        warn!(bytes = size, "the columns of the data files are too many to be told");
        return None;
    }
    let bytes = tokio::fs::read(&path).await.ok()?;
    serde_json::from_slice(&bytes).map_err(|error| warn!(%error, "the columns of the data files do not read")).ok()
}
