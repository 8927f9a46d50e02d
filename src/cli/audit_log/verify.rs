//! `model-factory audit verify`.

use crate::adapters::ledger::{AuditVerdict, Ledger};
use crate::cli::progress::Bar;
use crate::cli::table::{Output, json_lines};
use crate::clock::Stopwatch;
use crate::config::Config;
use crate::domain::audit_log::{Block, Broken, Chain, Head, Line, read_line};
use crate::domain::identity::RunId;
use anyhow::{Context as _, bail, ensure};
use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use serde::Serialize;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// A head that was kept elsewhere, as `audit export` and `audit verify` print it: blocks that were cut off
    /// behind it, or a chain that was made anew, are found by it alone.
    #[arg(long, value_name = "SEQ:DIGEST")]
    head: Option<Head>,
    /// Check an export instead, without a database.
    #[arg(long, value_name = "FILE", conflicts_with = "since")]
    file: Option<PathBuf>,
    /// From when on every row of the ledger must be told, for example 2026-03-01T10:00:00Z: the end of the last
    /// worker of a release without the log. Since the log begins without it.
    #[arg(long, value_name = "TIME")]
    since: Option<DateTime<Utc>>,
    /// How the answer looks.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

impl VerifyArgs {
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
        let ledger = Ledger::connect(&config.ledger).await.context("cannot reach Postgres ([ledger] url)")?;
        ledger.check_schema().await.context("the database is not ready")?;
        let mut progress = Progress::begin();
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

/// A bar, once it takes longer than a second.
struct Progress {
    began: Stopwatch,
    bar: Option<Bar>,
}

impl Progress {
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

/// What an export came to.
#[derive(Debug, Serialize)]
struct Checked {
    /// Where the chain stands, by the export's own last line.
    head: Head,
    /// Blocks that were checked.
    blocks: u64,
    /// The block before the first one, which is taken on trust.
    behind: i64,
    /// The run that blocks were picked for: then each was checked alone.
    run_id: Option<RunId>,
    broken: Option<String>,
}

impl Checked {
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

/// An export has to be read to its end before it is known whether blocks were picked.
fn check(path: &Path, anchor: Option<Head>) -> anyhow::Result<Checked> {
    let picked_for = ending(path)?;
    let mut chain = None;
    let mut checked =
        Checked { head: picked_for.head, blocks: 0, behind: 0, run_id: picked_for.run_id.clone(), broken: None };
    for line in lines(path)? {
        let Line::Block(block) = line? else { continue };
        let followed = match &picked_for.run_id {
            Some(_) => Line::alone(&block).map(|_| ()),
            None => follow(chain.get_or_insert_with(|| start(&block, picked_for.from, anchor)), &block),
        };
        if let Err(broken) = followed {
            checked.broken = Some(broken.to_string());
            return Ok(checked);
        }
        checked.blocks += 1;
    }
    let chain = chain.unwrap_or_else(|| Chain::new(anchor));
    checked.behind = if picked_for.run_id.is_none() { picked_for.from - 1 } else { 0 };
    if checked.blocks != picked_for.blocks {
        checked.broken = Some(format!("{} blocks are there, {} were written", checked.blocks, picked_for.blocks));
    } else if picked_for.run_id.is_none() {
        let reached = chain.end().map_err(|broken| broken.to_string());
        checked.broken = match reached {
            Err(why) => Some(why),
            Ok(head) if head != picked_for.head && picked_for.blocks > 0 => {
                Some(format!("the chain ends with {head}, its last line says {}", picked_for.head))
            }
            Ok(_) => None,
        };
    }
    Ok(checked)
}

/// Behind the block before the first one that was asked for.
fn start(first: &Block, from: i64, anchor: Option<Head>) -> Chain {
    if from == 1 { Chain::new(anchor) } else { Chain::behind(Head { seq: from - 1, digest: first.previous }, anchor) }
}

fn follow(chain: &mut Chain, block: &Block) -> Result<(), Broken> {
    chain.follow(block).map(|_| ())
}

fn lines(path: &Path) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Line>>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let place = path.display().to_string();
    Ok(BufReader::new(file).lines().enumerate().map(move |(number, line)| {
        read_line(&line?).with_context(|| format!("{place}: line {} is no line of an export", number + 1))
    }))
}

fn ending(path: &Path) -> anyhow::Result<crate::domain::audit_log::Ending> {
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
