//! What OpenLineage is told while a run is worked on. Nothing here decides anything: where lineage is off, nothing
//! here does anything.

use super::desk::Desk;
use super::stages::{Gated, Packed, Reported, Resolved};
use super::{Interrupted, Runner};
use crate::adapters::ledger::{Guarded, Known, Lease};
use crate::domain::contract::{BundleArtifact, EvidenceRef};
use crate::modelling::FileColumn;
use crate::modelling::lineage::{Account, Places, Written};
use crate::training::COLUMNS_FILE;
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
        let account = match found_columns(job_dir).await {
            Found::Columns(columns) => Account::of(&resolved.plan, &columns, places),
            Found::TooMany => Account::without_columns(&resolved.plan, places),
            Found::Nothing => return Ok(()),
        };
        self.tell(lease, Known::Read, account).await
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

/// What the child left of columns.
enum Found {
    /// Those of each file.
    Columns(Vec<Vec<FileColumn>>),
    /// More than can be told.
    TooMany,
    /// It did not get that far.
    Nothing,
}

async fn found_columns(job_dir: &Path) -> Found {
    let path = job_dir.join(COLUMNS_FILE);
    match tokio::fs::metadata(&path).await {
        Ok(about) if about.len() > MAX_COLUMNS_BYTES => return Found::TooMany,
        Ok(_) => {}
        Err(_) => return Found::Nothing,
    }
    let read = tokio::fs::read(&path).await.map_err(|error| error.to_string());
    match read.and_then(|bytes| serde_json::from_slice(&bytes).map_err(|error| error.to_string())) {
        Ok(columns) => Found::Columns(columns),
        Err(error) => {
            warn!(%error, "the columns of the data files do not read");
            Found::Nothing
        }
    }
}
