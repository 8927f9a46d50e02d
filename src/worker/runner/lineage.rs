//! The facts that an attempt gathers for OpenLineage: what it will read, has read and has written.
//!
//! Never: decides anything; does anything where lineage is off.

use super::attempt::RunAttempt;
use super::outcome::Interrupted;
use super::stages::{Gated, Packed, Reported, Resolved};
use crate::adapters::ledger::{DatasetsKnown, Guarded};
use crate::domain::contract::{BundleArtifact, EvidenceRef};
use crate::modelling::FileColumn;
use crate::modelling::lineage::{DatasetIo, DatasetLocations, WrittenDataset};
use crate::training::COLUMNS_FILE;
use std::path::Path;
use tracing::warn;

/// Largest list of columns that is read from a child; a larger one would not fit into an event.
const MAX_COLUMNS_BYTES: u64 = 4 * 1024 * 1024;

impl RunAttempt<'_> {
    /// Emits the datasets that the plan will read; does nothing if lineage is off.
    pub(super) async fn emit_resolved(&self, resolved: &Resolved) -> Result<(), Interrupted> {
        let Some(places) = &self.runner.lineage else { return Ok(()) };
        self.emit_lineage(DatasetsKnown::Resolved, DatasetIo::of(&resolved.plan, &[], places)).await
    }

    /// Emits the datasets that were read, with the columns that the child found in their files. Emits nothing if
    /// lineage is off or the child left no columns.
    pub(super) async fn emit_read(&self, resolved: &Resolved, job_dir: &Path) -> Result<(), Interrupted> {
        let Some(places) = &self.runner.lineage else { return Ok(()) };
        let path = job_dir.join(COLUMNS_FILE);
        // The file is missing if the child ended before it read the data.
        let Ok(about) = tokio::fs::metadata(&path).await else { return Ok(()) };
        let io = if about.len() > MAX_COLUMNS_BYTES {
            DatasetIo::without_columns(&resolved.plan, places)
        } else {
            let read = tokio::fs::read(&path).await;
            match read.and_then(|bytes| Ok(serde_json::from_slice::<Vec<Vec<FileColumn>>>(&bytes)?)) {
                Ok(columns) => DatasetIo::of(&resolved.plan, &columns, places),
                Err(error) => {
                    warn!(%error, "the columns of the data files do not read");
                    return Ok(());
                }
            }
        };
        self.emit_lineage(DatasetsKnown::Read, io).await
    }

    async fn emit_lineage(&self, known: DatasetsKnown, io: DatasetIo) -> Result<(), Interrupted> {
        match self.runner.ledger.emit_lineage(self.lease, known, io).await? {
            Guarded::Won(_) => Ok(()),
            Guarded::Lost => Err(Interrupted::Lost),
        }
    }

    /// What the run read and wrote and how it was judged, for the step of its verdict; `None` if lineage is off.
    pub(super) fn dataset_io(
        &self,
        resolved: &Resolved,
        report: &Reported,
        gated: &Gated,
        packed: Option<&Packed>,
    ) -> Option<DatasetIo> {
        let places = self.runner.lineage.as_ref()?;
        let made = &report.report.provenance;
        let rows = report.report.metrics.dataset.test.rows;
        let scores = WrittenDataset { rows: Some(rows), ..written(&made.scores, "scores", None) };
        let bytes = Some(report.stored.bytes.len() as u64);
        let mut io = DatasetIo::of(&resolved.plan, &[], places)
            .judged(&made.scores, rows, &gated.receipt, places)
            .wrote(&scores, places)
            .wrote(&written(&report.stored.at, "eval_report", bytes), places);
        if self.lease.request.intent_kind.trains() {
            io = io.wrote(&written(&made.model, "model", None), places);
        }
        Some(match packed {
            Some(packed) => with_bundle(io, &self.evidence.folder.bundle_folder(), packed, places),
            None => io,
        })
    }
}

fn with_bundle(io: DatasetIo, folder: &str, packed: &Packed, places: &DatasetLocations) -> DatasetIo {
    let bundle = &packed.bundle;
    let signature = packed.signature.iter().map(|file: &BundleArtifact| file.bytes);
    let sizes: Vec<u64> = bundle.files.iter().map(|file| file.bytes.len() as u64).chain(signature).collect();
    let written = WrittenDataset {
        path: folder,
        sha256: bundle.bundle_id,
        version: Some(&bundle.bundle_version),
        role: "bundle",
        rows: None,
        bytes: Some(sizes.iter().sum()),
        files: sizes.len() as u64,
    };
    io.wrote(&written, places)
}

fn written<'a>(at: &'a EvidenceRef, role: &'static str, bytes: Option<u64>) -> WrittenDataset<'a> {
    WrittenDataset { path: &at.reference, sha256: at.sha256, version: None, role, rows: None, bytes, files: 1 }
}
