//! `model-factory prune`: deletes old history on which nothing depends any more.

use super::ledger::{self, ActorArgs};
use super::output::{Output, print_table};
use crate::adapters::ledger::Pruned;
use crate::config::Config;
use anyhow::ensure;
use serde_json::json;
use std::io::{IsTerminal as _, Write};
use std::process::ExitCode;
use std::time::Duration;

/// Delete old history from the ledger: steps and sent events of runs that have ended, and records that made no run.
///
/// Runs, request ids, publications, commands, operators' acts and all evidence stay, so that a repeated request is
/// still recognised. Workers may run at the same time. The command may be stopped and started again at any time.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  model-factory prune --older-than 90d --dry-run
  model-factory prune --older-than 90d --output json")]
pub(super) struct Args {
    /// Delete what is older than this, for example 90d. At least a day, and longer than the request topic keeps
    /// records.
    #[arg(long, value_parser = humantime::parse_duration)]
    older_than: Duration,
    /// Only count. Delete nothing.
    #[arg(long)]
    dry_run: bool,
    /// Reason, which the audit log keeps. By default the age.
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    actor: ActorArgs,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

const DAY: Duration = Duration::from_hours(24);

impl Args {
    pub(super) async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        ensure!(self.older_than >= DAY, "--older-than must be a day at least");
        let ledger = ledger::connect_to_current(&config).await?;
        let why = self.reason.unwrap_or_else(|| format!("older than {}", humantime::format_duration(self.older_than)));
        let mut pruning = ledger.pruning(self.older_than, self.dry_run).await?.by(self.actor.name(), why);
        let (mut total, mut terminal) = (Pruned::default(), std::io::stderr().lock());
        while let Some(some) = ledger.prune_some(&mut pruning).await? {
            total += some;
            if terminal.is_terminal() && some != Pruned::default() {
                write!(terminal, "\r  {} rows", rows(&total).iter().map(|(_, count)| count).sum::<u64>())?;
            }
        }
        if terminal.is_terminal() {
            writeln!(terminal)?;
        }
        ledger.close().await;
        let before = pruning.before();
        let deleted = json!({"before": before, "dry_run": self.dry_run, "deleted": total});
        self.output.print(&[deleted], |out| {
            let what = if self.dry_run { "WOULD BE DELETED" } else { "DELETED" };
            print_table(out, [what, "ROWS"], rows(&total).map(|(name, count)| [name.to_owned(), count.to_string()]))?;
            writeln!(out, "  from before {}", before.to_rfc3339())
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

fn rows(pruned: &Pruned) -> [(&'static str, u64); 4] {
    [
        ("transitions", pruned.transitions),
        ("outbox", pruned.outbox),
        ("registry_events", pruned.registry_events),
        ("inbox", pruned.inbox),
    ]
}
