//! `model-factory report`: writes the page about a run's evaluation. Reads from the evidence store or a local folder.

use super::ledger;
use crate::adapters::evidence::{EvidencePath, EvidenceStore};
use crate::config::Config;
use crate::domain::contract::{DecisionReport, EvalReport, GateReceipt, SchemaName, TrainPlan, read_json};
use crate::domain::identity::Digest;
use crate::modelling::{ReportSources, report_page};
use anyhow::{Context as _, bail, ensure};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Write the page about a run's evaluation: curves, intervals, slices, verdict and lineage in one file.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  model-factory report tr_16a2ad9c3ad29e2e989ece1cb3c61936 --open
  model-factory report req-20260301-0001 --output report.html
  model-factory report target/demo/evidence/platform_x/mf/train_runs/tr_16a2ad9c3ad29e2e989ece1cb3c61936
  model-factory report ./bundle --output - > report.html")]
pub(super) struct Args {
    /// Run id, request id, or the folder of a run or a bundle.
    what: String,
    /// File to write the page to, `-` for standard output. By default `RUN_ID.html` in the current folder.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Show the page in the desktop's browser.
    #[arg(long)]
    open: bool,
}

const MAX_PAGE_BYTES: u64 = 64 << 20;

impl Args {
    pub(super) async fn run(self, config: impl FnOnce() -> anyhow::Result<Config>) -> anyhow::Result<ExitCode> {
        let folder = Path::new(&self.what);
        let (name, page) =
            if folder.is_dir() { from_folder(folder)? } else { from_store(&self.what, &config()?).await? };
        let output = self.output.unwrap_or_else(|| PathBuf::from(format!("{name}.html")));
        if output.as_os_str() == "-" {
            ensure!(!self.open, "what goes to standard output cannot be opened");
            std::io::stdout().lock().write_all(&page)?;
            return Ok(ExitCode::SUCCESS);
        }
        fs::write(&output, page).with_context(|| format!("cannot write {}", output.display()))?;
        writeln!(std::io::stdout(), "{}", output.display())?;
        if self.open {
            let browser = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
            let status = Command::new(browser).arg(&output).status();
            ensure!(status.is_ok_and(|status| status.success()), "{browser} could not show {}", output.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns the run's id, and its page from the evidence store. Checks the page against the digest that ledger and audit
/// log name.
async fn from_store(id: &str, config: &Config) -> anyhow::Result<(String, Vec<u8>)> {
    let ledger = ledger::connect(config).await?;
    let run = ledger::find_run(&ledger, id).await?;
    let run = run.with_context(|| format!("{id:?} is no folder, and no run or request of the ledger"))?;
    let evidence = ledger.evidence_of(&run.run_id).await?;
    ledger.close().await;
    let Some(at) = evidence.logged("report_page")? else {
        bail!("{} has no report: it is {} and did not come to its gate", run.run_id, run.state);
    };
    let store = EvidenceStore::open(&config.evidence)?;
    let path = EvidencePath::of(at.reference.split('/'))?;
    let page = store.find(&path, MAX_PAGE_BYTES).await?;
    let page = page.with_context(|| format!("{path} is not in the evidence store"))?;
    let found = Digest::of(&page);
    ensure!(found == at.sha256, "{path} was written with digest {} and reads back with {found}", at.sha256);
    Ok((run.run_id.to_string(), page.to_vec()))
}

/// Returns the run's id and its page. Reads the page from a run's folder, or renders it from the documents of a bundle.
fn from_folder(folder: &Path) -> anyhow::Result<(String, Vec<u8>)> {
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    if folder.join("eval/report.html").exists() {
        let report: EvalReport = read_json(SchemaName::EvalReport, &read("eval/eval_report.json")?)?;
        return Ok((report.run_id.to_string(), read("eval/report.html")?));
    }
    let plan: TrainPlan = read_json(SchemaName::ResolvedTrainPlan, &read("resolved_train_plan.json")?)?;
    let report: EvalReport = read_json(SchemaName::EvalReport, &read("eval_report.json")?)?;
    let receipt: GateReceipt = read_json(SchemaName::GateReceipt, &read("gate_receipt.json")?)?;
    let decision: Option<DecisionReport> = match report.provenance.decision_report {
        Some(_) => Some(read_json(SchemaName::DecisionReport, &read(DecisionReport::FILE)?)?),
        None => None,
    };
    for run_id in [&report.run_id, &receipt.run_id] {
        ensure!(run_id == &plan.run_id, "the folder mixes documents of {run_id} and {}", plan.run_id);
    }
    let sources = ReportSources {
        plan: &plan,
        report: &report,
        decision: decision.as_ref(),
        receipt: &receipt,
        receipt_at: None,
    };
    Ok((plan.run_id.to_string(), report_page(&sources).into_bytes()))
}
