//! `model-factory runs`: shows the runs of the ledger, and carries out commands on them.

mod show;
mod watch;

pub(super) use show::list;

use super::ledger::{self, ActorArgs, require_run};
use super::output::{Output, json_lines, stdout};
use crate::adapters::ledger::{CommandRequest, Ledger, RunCommand};
use crate::config::Config;
use crate::domain::run::State;
use anyhow::Context as _;
use clap::Subcommand;
use serde_json::json;
use show::{explain, show};
use std::io::Write;
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
        /// List at most this many runs.
        #[arg(long, default_value_t = 50)]
        limit: i64,
    },
    /// Show one run with its steps, requests and evidence.
    Show {
        /// Run id or request id.
        id: String,
    },
    /// Print a run's steps and its trainer's progress as they happen, until the run is decided. Exit status 0 if the
    /// run is published, or has passed and is not to be published. Exit status 1 if it ended in FAIL, its publication
    /// was given up, or it was not decided in time.
    Watch(watch::Args),
    /// Explain why requests share a run: what was compared and what was ignored. Also shows what differs in runs that
    /// only look the same.
    Explain {
        /// Run id or request id.
        id: String,
    },
    /// Stop a run. A queued run stops at once. If a worker has the run, it stops at the next renewal of the lease.
    Cancel(ActArgs),
    /// Announce the bundle of a run again. Attempts are counted from zero again. Never trains.
    RetryPublish(ActArgs),
    /// Take a run from its worker, or reopen a run that ended in FAIL for a reason outside its request. Attempts are
    /// counted from zero again.
    Requeue(ActArgs),
}

#[derive(Debug, clap::Args)]
struct ActArgs {
    /// Run id or request id.
    id: String,
    /// Reason, which the ledger keeps.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    actor: ActorArgs,
}

impl Args {
    pub(super) async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        let ledger = ledger::connect(&config).await?;
        let ledger = ledger.emitting_lineage(&config.lineage, config.kafka.max_value_bytes);
        let mut out = stdout();
        let output = self.output;
        let mut code = ExitCode::SUCCESS;
        match self.command {
            RunsCommand::List { state, limit } => {
                let runs = ledger.runs(state, limit).await?;
                output.print(&runs, |out| list(out, &runs))?;
            }
            RunsCommand::Show { id } => show(&mut out, &ledger, &require_run(&ledger, &id).await?, output).await?,
            RunsCommand::Watch(args) => code = args.run(&mut out, &ledger, output).await?,
            RunsCommand::Explain { id } => {
                explain(&mut out, &ledger, &require_run(&ledger, &id).await?, output).await?;
            }
            RunsCommand::Cancel(args) => code = args.run(&mut out, &ledger, RunCommand::Cancel, output).await?,
            RunsCommand::RetryPublish(args) => {
                code = args.run(&mut out, &ledger, RunCommand::RetryPublish, output).await?;
            }
            RunsCommand::Requeue(args) => code = args.run(&mut out, &ledger, RunCommand::Requeue, output).await?,
        }
        ledger.close().await;
        Ok(code)
    }
}

impl ActArgs {
    /// Makes the ledger carry out the command, and prints the outcome. Exit status 1 if the ledger refuses the command.
    async fn run(
        self,
        out: &mut dyn Write,
        ledger: &Ledger,
        act: RunCommand,
        output: Output,
    ) -> anyhow::Result<ExitCode> {
        let run_id = require_run(ledger, &self.id).await?.run_id;
        let order = CommandRequest { command: act, actor: &self.actor.name(), why: &self.reason };
        let done = ledger.command(&run_id, order).await?.context("the run is gone")?;
        let act = act.as_str();
        if output == Output::Json {
            let (state, refused) = (done.as_ref().ok(), done.as_ref().err());
            let (code, message) = (refused.map(|refused| refused.code), refused.map(|refused| &refused.message));
            json_lines(
                out,
                &[json!({"run_id": run_id, "act": act, "state": state, "code": code, "message": message})],
            )?;
        } else {
            match &done {
                Ok(state) => writeln!(out, "{act} {run_id}: now {state}")?,
                Err(refused) => writeln!(out, "refused: {refused}")?,
            }
        }
        Ok(if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
