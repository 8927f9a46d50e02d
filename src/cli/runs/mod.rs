//! `model-factory runs`: shows the runs of the ledger, and acts on them.

mod act;
mod explain;
mod find;
mod list;
mod show;
mod watch;

pub(super) use list::list;

use super::ledger;
use super::output::{Output, json_lines};
use crate::adapters::ledger::RunCommand;
use crate::config::Config;
use crate::domain::run::State;
use clap::Subcommand;
use explain::explain;
use find::find;
use show::show;
use std::process::ExitCode;

/// List, show and watch runs, explain what makes requests the same, cancel, requeue or publish again.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  model-factory runs list --state FAIL
  model-factory runs show tr_16a2ad9c3ad29e2e989ece1cb3c61936
  model-factory runs watch req-20260301-0001
  model-factory runs explain req-20260301-0001 --output json
  model-factory runs cancel req-20260301-0001 --reason 'wrong manifest'
  model-factory runs requeue tr_16a2ad9c3ad29e2e989ece1cb3c61936 --reason 'store is back'
  model-factory runs retry-publish tr_16a2ad9c3ad29e2e989ece1cb3c61936 --reason 'registry is back'")]
pub(super) struct Args {
    #[command(subcommand)]
    command: RunsCommand,
    /// How to print.
    #[arg(long, value_enum, default_value = "table", global = true)]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum RunsCommand {
    /// List the latest runs, newest first.
    List {
        /// Only runs in this state, for example FAIL.
        #[arg(long)]
        state: Option<State>,
        /// Largest number of runs.
        #[arg(long, default_value_t = 50)]
        limit: i64,
    },
    /// Show one run with its steps, requests and evidence.
    Show {
        /// Run id or request id.
        id: String,
    },
    /// Print a run's steps and its trainer's progress as they happen, until the run is decided. Exit status 0 where
    /// it is published, or passed without leave to publish; 1 where it failed, its publication was given up, or
    /// the wait was too long.
    Watch(watch::Args),
    /// Explain why requests are the same run: what was compared, what was ignored, and what differs in runs that
    /// only look the same.
    Explain {
        /// Run id or request id.
        id: String,
    },
    /// Stop a run: at once while it is queued, within a heartbeat while it is worked on.
    Cancel(act::Args),
    /// Announce the bundle of a run again, with a fresh bound on attempts. Never trains.
    RetryPublish(act::Args),
    /// Take a run from its worker, or reopen one that failed for a reason outside of its request, with a fresh bound
    /// on attempts.
    Requeue(act::Args),
}

impl Args {
    pub(super) async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        let ledger = ledger::connect(&config).await?;
        let ledger = ledger.emitting_lineage(&config.lineage, config.kafka.max_value_bytes);
        let mut out = std::io::stdout().lock();
        match self.command {
            RunsCommand::List { state, limit } => {
                let runs = ledger.runs(state, limit).await?;
                match self.output {
                    Output::Json => json_lines(&mut out, &runs)?,
                    Output::Table => list(&mut out, &runs)?,
                }
            }
            RunsCommand::Show { id } => show(&mut out, &ledger, &find(&ledger, &id).await?, self.output).await?,
            RunsCommand::Watch(args) => return args.run(&mut out, &ledger, self.output).await,
            RunsCommand::Explain { id } => explain(&mut out, &ledger, &find(&ledger, &id).await?, self.output).await?,
            RunsCommand::Cancel(args) => return args.run(&mut out, &ledger, RunCommand::Cancel, self.output).await,
            RunsCommand::RetryPublish(args) => {
                return args.run(&mut out, &ledger, RunCommand::RetryPublish, self.output).await;
            }
            RunsCommand::Requeue(args) => return args.run(&mut out, &ledger, RunCommand::Requeue, self.output).await,
        }
        ledger.close().await;
        Ok(ExitCode::SUCCESS)
    }
}
