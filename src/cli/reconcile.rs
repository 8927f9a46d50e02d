//! `model-factory reconcile`: counts what became of a platform run, and stores the counts as evidence.

use super::ledger;
use super::output::{Output, print_table};
use crate::adapters::evidence::{EvidencePath, EvidenceStore, layout};
use crate::config::Config;
use crate::domain::contract::Reconciliation;
use crate::domain::identity::{Digest, document_bytes};
use anyhow::Context as _;
use serde_json::json;
use std::io::{self, Write};
use std::process::ExitCode;

/// Count what became of a platform run, name contradictions, and store the result as evidence.
///
/// Everything is read in one snapshot of the ledger. The document is stored in the platform run's folder, and its name
/// is its digest. It names the last block of the audit log at the time of counting. docs/audit-log.md explains each
/// number and each contradiction.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status 1 where something does not add up; a run that has not ended does not.

Examples:
  model-factory reconcile platform_20260301
  model-factory reconcile platform_20260301 --output json
  model-factory reconcile platform_20260301 --dry-run")]
pub(super) struct Args {
    /// Id of the platform run.
    platform_run_id: String,
    /// Only print. Store no document.
    #[arg(long)]
    dry_run: bool,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

impl Args {
    pub(super) async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        let ledger = ledger::connect_to_current(&config).await?;
        let found = ledger.reconcile(&self.platform_run_id).await?;
        ledger.close().await;
        let found =
            found.with_context(|| format!("the ledger knows no run of platform run {:?}", self.platform_run_id))?;
        let bytes = document_bytes(&found);
        let sha256 = Digest::of(&bytes);
        let path = layout::reconciliation(&found.platform_run_id, &sha256);
        if !self.dry_run {
            let store = EvidenceStore::open(&config.evidence)?;
            store.put(&path, bytes.into()).await.context("the document was not written")?;
        }
        let at = (!self.dry_run).then_some((&path, sha256));
        let document = at.map(|(path, sha256)| json!({"ref": path.to_string(), "sha256": sha256}));
        let answer = json!({"reconciliation": found, "document": document});
        self.output.print(&[answer], |out| show(out, &found, at))?;
        Ok(if found.anomalies.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn show(out: &mut dyn Write, found: &Reconciliation, at: Option<(&EvidencePath, Digest)>) -> io::Result<()> {
    let counters = serde_json::to_value(found.counters)?;
    let counters = counters.as_object().into_iter().flatten();
    print_table(out, ["COUNTER", "VALUE"], counters.map(|(name, value)| [name.clone(), value.to_string()]))?;
    if !found.anomalies.is_empty() {
        writeln!(out)?;
        let anomalies = found.anomalies.iter();
        let rows = anomalies.map(|found| [found.code.to_string(), found.run_id.to_string(), found.meaning.clone()]);
        print_table(out, ["ANOMALY", "RUN", "MEANING"], rows)?;
    }
    writeln!(out, "\n  as of block {}", found.as_of)?;
    match at {
        Some((path, sha256)) => writeln!(out, "  {path} {sha256}"),
        None => Ok(()),
    }
}
