//! `model-factory audit verify`.

use crate::adapters::ledger::AuditVerdict;
use crate::cli::ledger;
use crate::cli::output::Output;
use crate::cli::progress::Bar;
use crate::clock::Stopwatch;
use crate::config::Config;
use crate::domain::audit_log::{Chain, Ending, Line};
use crate::domain::contract::Head;
use crate::domain::identity::RunId;
use anyhow::{Context as _, ensure};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A head that you kept elsewhere, as `audit export` and `audit verify` print it. Without a head it cannot be
    /// noticed that the last blocks were cut off, or that the whole chain was replaced. With `--file`, the export must hold
    /// the head's block or begin right after it, and must not be picked for one run.
    #[arg(long, value_name = "SEQ:DIGEST")]
    head: Option<Head>,
    /// Check an export instead, without a database.
    #[arg(long, value_name = "FILE", conflicts_with = "since")]
    file: Option<PathBuf>,
    /// Time from which every row of the ledger must be in the log, for example 2026-03-01T10:00:00Z. Give the time when
    /// the last worker of a release without the log ended. By default the time of the log's first block.
    #[arg(long, value_name = "TIME")]
    since: Option<DateTime<Utc>>,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

impl Args {
    pub(super) async fn run(self, config: impl FnOnce() -> anyhow::Result<Config>) -> anyhow::Result<ExitCode> {
        if let Some(path) = &self.file {
            let checked = check(path, self.head)?;
            self.output.print(&[&checked], |out| checked.show(out))?;
            return Ok(if checked.broken.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        let config = config()?;
        let ledger = ledger::connect_to_current(&config).await?;
        let (began, mut bar) = (Stopwatch::start(), None);
        let on_block = |seq: i64, last: i64| {
            // A check that takes less than a second shows no progress bar.
            if began.elapsed() > Duration::from_secs(1) {
                let fraction = seq as f64 / last.max(1) as f64;
                bar.get_or_insert_with(Bar::new).at(fraction, &format!("block {seq} of {last}"));
            }
        };
        let verdict = ledger.verify_audit_log(self.head, self.since, on_block).await?;
        if let Some(bar) = bar {
            bar.finish();
        }
        ledger.close().await;
        self.output.print(&[&verdict], |out| show(out, &verdict))?;
        Ok(if verdict.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn show(out: &mut dyn Write, verdict: &AuditVerdict) -> io::Result<()> {
    let since = |at: DateTime<Utc>| format!("since {}", at.to_rfc3339_opts(SecondsFormat::Micros, true));
    let began = verdict.began_at.map_or_else(|| "nothing is told yet".to_owned(), since);
    match &verdict.broken {
        Some(broken) => writeln!(out, "chain        BROKEN  block {}: {}", broken.seq, broken.why)?,
        None => writeln!(out, "chain        ok      {} blocks, {} acts, {began}", verdict.head.seq, verdict.acts)?,
    }
    if verdict.broken.is_none() && verdict.disagreements.is_empty() {
        let rows = verdict.agreeing;
        writeln!(
            out,
            "ledger       ok      agrees in {} steps, {} records, {} commands, {} answers of the registry, {} runs and {} \
             receipts; {} rows were pruned",
            rows.transitions, rows.inbox, rows.acts, rows.registry_events, rows.runs, rows.receipts, verdict.pruned
        )?;
    }
    for what in &verdict.disagreements {
        writeln!(out, "ledger       BROKEN  {what}")?;
    }
    writeln!(out, "head         {}", verdict.head)
}

#[derive(Debug, Serialize)]
struct CheckedExport {
    /// The head of the chain, as the export's last line states it.
    head: Head,
    blocks: u64,
    /// Number of the block before the export's first block. The digest of that block is not checked.
    behind: i64,
    /// Number of the block that `--head` names, and that this chain has or begins after. `None` if no head was given.
    confirms: Option<i64>,
    /// The run to which the export is limited. Each block is then checked alone. `None` if the export has the whole
    /// chain.
    run_id: Option<RunId>,
    broken: Option<String>,
}

impl CheckedExport {
    fn show(&self, out: &mut dyn Write) -> io::Result<()> {
        let from = match (&self.run_id, self.behind) {
            (Some(run_id), _) => format!("each alone, picked for {run_id}"),
            (None, 0) => "from the first on".to_owned(),
            (None, behind) if self.confirms == Some(behind) => {
                format!("behind block {behind}, which the given head confirms")
            }
            (None, behind) => format!("behind block {behind}, which is taken on trust"),
        };
        match &self.broken {
            Some(why) => writeln!(out, "chain        BROKEN  {why}")?,
            None => writeln!(out, "chain        ok      {} blocks, {from}", self.blocks)?,
        }
        match &self.run_id {
            Some(_) => {
                writeln!(out, "head         {}, by the export's own word: picked blocks do not show it", self.head)
            }
            None => writeln!(out, "head         {}", self.head),
        }
    }
}

/// Reads the file twice, because only its last line says whether it holds the whole chain or the blocks of one run.
fn check(path: &Path, anchor: Option<Head>) -> anyhow::Result<CheckedExport> {
    let Ending { head, from, blocks: written, run_id } = ending(path)?;
    let is_whole = run_id.is_none();
    ensure!(
        is_whole || anchor.is_none(),
        "--head: {} holds only the blocks of one run, so that no head can be compared with its chain; give the head with an \
         export of the whole log (`model-factory audit export` without --run)",
        path.display()
    );
    let behind = if is_whole { from - 1 } else { 0 };
    let mut chain = None;
    let mut checked = CheckedExport { head, blocks: 0, behind: 0, confirms: None, run_id, broken: None };
    for line in lines(path)? {
        let Line::Block(block) = line? else { continue };
        let followed = if is_whole {
            let start = || match behind {
                0 => Chain::new(anchor),
                seq => Chain::behind(Head { seq, digest: block.previous }, anchor),
            };
            chain.get_or_insert_with(start).follow(&block)
        } else {
            block.intact()
        };
        if let Err(broken) = followed {
            checked.broken = Some(broken.to_string());
            return Ok(checked);
        }
        checked.blocks += 1;
    }
    checked.behind = behind;
    let reached = chain.unwrap_or_else(|| Chain::new(anchor)).end();
    checked.confirms = anchor.filter(|_| reached.is_ok()).map(|anchor| anchor.seq);
    checked.broken = match reached {
        _ if checked.blocks != written => Some(format!("{} blocks are there, {written} were written", checked.blocks)),
        Err(broken) if is_whole => Some(broken.to_string()),
        Ok(reached) if is_whole && reached != head && written > 0 => {
            Some(format!("the chain ends with {reached}, its last line says {head}"))
        }
        Ok(_) | Err(_) => None,
    };
    Ok(checked)
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
    let missing = || format!("{}: the last line, which says where the chain stood, is not there", path.display());
    found.with_context(missing)
}
