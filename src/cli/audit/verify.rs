//! `model-factory audit verify`.

use crate::adapters::ledger::AuditVerdict;
use crate::cli::ledger;
use crate::cli::output::{Output, json_lines};
use crate::cli::progress::Bar;
use crate::clock::Stopwatch;
use crate::config::Config;
use crate::domain::audit_log::{Block, BrokenBlock, Chain, Ending, Line};
use crate::domain::contract::Head;
use crate::domain::identity::RunId;
use anyhow::{Context as _, bail, ensure};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A head that was kept elsewhere, as `audit export` and `audit verify` print it. Only a head reveals that the
    /// last blocks were cut off or that the whole chain was written anew.
    #[arg(long, value_name = "SEQ:DIGEST")]
    head: Option<Head>,
    /// Check an export instead, without a database.
    #[arg(long, value_name = "FILE", conflicts_with = "since")]
    file: Option<PathBuf>,
    /// From when on every row of the ledger must be in the log, for example 2026-03-01T10:00:00Z: the end of the
    /// last worker of a release without the log. Without it: since the log begins.
    #[arg(long, value_name = "TIME")]
    since: Option<DateTime<Utc>>,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

impl Args {
    pub(super) async fn run(self, config: impl FnOnce() -> anyhow::Result<Config>) -> anyhow::Result<ExitCode> {
        let mut out = std::io::stdout().lock();
        if let Some(path) = &self.file {
            let checked = check(path, self.head)?;
            match self.output {
                Output::Json => json_lines(&mut out, &[&checked])?,
                Output::Table => checked.show(&mut out)?,
            }
            return Ok(if checked.broken.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        let config = config()?;
        let ledger = ledger::connect_to_current(&config).await?;
        let mut progress = VerifyProgress::begin();
        let verdict = ledger.verify_audit_log(self.head, self.since, |seq, last| progress.at(seq, last)).await?;
        progress.end();
        ledger.close().await;
        match self.output {
            Output::Json => json_lines(&mut out, &[&verdict])?,
            Output::Table => show(&mut out, &verdict)?,
        }
        Ok(if verdict.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Shows a bar once the check takes longer than a second.
struct VerifyProgress {
    began: Stopwatch,
    bar: Option<Bar>,
}

impl VerifyProgress {
    fn begin() -> Self {
        Self { began: Stopwatch::start(), bar: None }
    }

    fn at(&mut self, seq: i64, last: i64) {
        if self.began.elapsed() > Duration::from_secs(1) {
            let bar = self.bar.get_or_insert_with(Bar::new);
            bar.at(seq as f64 / last.max(1) as f64, &format!("block {seq} of {last}"));
        }
    }

    fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish();
        }
    }
}

fn show(out: &mut dyn Write, verdict: &AuditVerdict) -> anyhow::Result<()> {
    let began = verdict.began_at.map_or_else(|| "nothing is told yet".to_owned(), |at| format!("since {}", time(at)));
    match &verdict.broken {
        Some(broken) => writeln!(out, "chain        BROKEN  block {}: {}", broken.seq, broken.why)?,
        None => writeln!(out, "chain        ok      {} blocks, {} acts, {began}", verdict.head.seq, verdict.acts)?,
    }
    if verdict.broken.is_none() && verdict.disagreements.is_empty() {
        let rows = verdict.agreeing;
        writeln!(
            out,
            "ledger       ok      agrees in {} steps, {} records, {} commands, {} answers of the registry; {} rows \
             were pruned",
            rows.transitions, rows.inbox, rows.acts, rows.registry_events, verdict.pruned
        )?;
    }
    for what in &verdict.disagreements {
        writeln!(out, "ledger       BROKEN  {what}")?;
    }
    Ok(writeln!(out, "head         {}", verdict.head)?)
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

#[derive(Debug, Serialize)]
struct CheckedExport {
    /// The end of the chain, by the export's own last line.
    head: Head,
    blocks: u64,
    /// Number of the block before the first one; its digest is taken on trust.
    behind: i64,
    /// The run that the export is limited to; then each block was checked alone.
    run_id: Option<RunId>,
    broken: Option<String>,
}

impl CheckedExport {
    fn show(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let from = match (&self.run_id, self.behind) {
            (Some(run_id), _) => format!("each alone, picked for {run_id}"),
            (None, 0) => "from the first on".to_owned(),
            (None, behind) => format!("behind block {behind}, which is taken on trust"),
        };
        match &self.broken {
            Some(why) => writeln!(out, "chain        BROKEN  {why}")?,
            None => writeln!(out, "chain        ok      {} blocks, {from}", self.blocks)?,
        }
        Ok(writeln!(out, "head         {}", self.head)?)
    }
}

/// Reads the file twice: only its last line says whether it holds the whole chain or the blocks of one run.
fn check(path: &Path, anchor: Option<Head>) -> anyhow::Result<CheckedExport> {
    let ending_line = ending(path)?;
    let mut chain = None;
    let mut checked = CheckedExport {
        head: ending_line.head,
        blocks: 0,
        behind: 0,
        run_id: ending_line.run_id.clone(),
        broken: None,
    };
    for line in lines(path)? {
        let Line::Block(block) = line? else { continue };
        let followed = match &ending_line.run_id {
            Some(_) => block.intact().map(|_| ()),
            None => follow(chain.get_or_insert_with(|| start(&block, ending_line.from, anchor)), &block),
        };
        if let Err(broken) = followed {
            checked.broken = Some(broken.to_string());
            return Ok(checked);
        }
        checked.blocks += 1;
    }
    let chain = chain.unwrap_or_else(|| Chain::new(anchor));
    checked.behind = if ending_line.run_id.is_none() { ending_line.from - 1 } else { 0 };
    if checked.blocks != ending_line.blocks {
        checked.broken = Some(format!("{} blocks are there, {} were written", checked.blocks, ending_line.blocks));
    } else if ending_line.run_id.is_none() {
        let reached = chain.end().map_err(|broken| broken.to_string());
        checked.broken = match reached {
            Err(why) => Some(why),
            Ok(head) if head != ending_line.head && ending_line.blocks > 0 => {
                Some(format!("the chain ends with {head}, its last line says {}", ending_line.head))
            }
            Ok(_) => None,
        };
    }
    Ok(checked)
}

/// A chain that goes on behind the block before `first`.
fn start(first: &Block, from: i64, anchor: Option<Head>) -> Chain {
    if from == 1 { Chain::new(anchor) } else { Chain::behind(Head { seq: from - 1, digest: first.previous }, anchor) }
}

fn follow(chain: &mut Chain, block: &Block) -> Result<(), BrokenBlock> {
    chain.follow(block).map(|_| ())
}

fn lines(path: &Path) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Line>>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let name = path.display().to_string();
    Ok(BufReader::new(file).lines().enumerate().map(move |(number, line)| {
        serde_json::from_str(&line?).with_context(|| format!("{name}: line {} is no line of an export", number + 1))
    }))
}

fn ending(path: &Path) -> anyhow::Result<Ending> {
    let mut found = None;
    for line in lines(path)? {
        ensure!(found.is_none(), "{}: something stands behind the last line of the export", path.display());
        if let Line::Ending(ending) = line? {
            found = Some(ending);
        }
    }
    match found {
        Some(ending) => Ok(ending),
        None => bail!("{}: the last line, which says where the chain stood, is not there", path.display()),
    }
}
