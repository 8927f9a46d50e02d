//! `model-factory prune`: forgets old history that nothing depends on.

use super::actor::ActorArgs;
use super::table::{Output, Table, json_lines};
use crate::adapters::ledger::{Ledger, Pruned};
use crate::config::Config;
use anyhow::{Context as _, ensure};
use clap::Args;
use serde_json::json;
use std::io::{IsTerminal as _, Write};
use std::process::ExitCode;
use std::time::Duration;

/// Delete old history from the ledger: steps and sent events of runs that have ended, and records that made no run.
///
/// Runs, request ids, announcements, commands, operators' words and all evidence stay, so that whatever comes again is
/// recognised as before. Works beside workers, in small transactions; it may be stopped and started again at any time.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  model-factory prune --older-than 90d --dry-run
  model-factory prune --older-than 90d --output json")]
pub(super) struct PruneArgs {
    /// Age, for example 90d: longer than the request topic keeps its records. A day at least.
    #[arg(long, value_parser = humantime::parse_duration)]
    older_than: Duration,
    /// Only count.
    #[arg(long)]
    dry_run: bool,
    /// Why; kept in the audit log. Without it the age.
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    actor: ActorArgs,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

const DAY: Duration = Duration::from_hours(24);

impl PruneArgs {
    pub(super) async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        ensure!(self.older_than >= DAY, "--older-than must be a day at least");
        let ledger = Ledger::connect(&config.ledger).await.context("cannot reach Postgres ([ledger] url)")?;
        ledger.check_schema().await.context("the database is not ready")?;
        let why = self.reason.unwrap_or_else(|| format!("older than {}", humantime::format_duration(self.older_than)));
        let mut pruning = ledger.pruning(self.older_than, self.dry_run).await?.by(self.actor.name(), why);
        let (mut total, mut told) = (Pruned::default(), std::io::stderr().lock());
        while let Some(some) = ledger.prune_some(&mut pruning).await? {
            total += some;
            if told.is_terminal() && some != Pruned::default() {
                write!(told, "\r  {} rows", rows(&total).iter().map(|(_, count)| count).sum::<u64>())?;
            }
        }
        if told.is_terminal() {
            writeln!(told)?;
        }
        ledger.close().await;
        let mut out = std::io::stdout().lock();
        match self.output {
            Output::Json => {
                json_lines(
                    &mut out,
                    &[json!({"before": pruning.before(), "dry_run": self.dry_run, "deleted": total})],
                )?;
            }
            Output::Table => {
                let what = if self.dry_run { "WOULD BE DELETED" } else { "DELETED" };
                let mut table = Table::new(&[what, "ROWS"]);
                for (name, count) in rows(&total) {
                    table.row([name.to_owned(), count.to_string()]);
                }
                table.print(&mut out)?;
                writeln!(out, "  from before {}", pruning.before().to_rfc3339())?;
            }
        }
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
