//! `model-factory runs`: what the ledger holds, and what may be done with it.

mod act;
mod explain;
mod watch;

use super::table::{Output, Table, json_lines};
use crate::adapters::ledger::{Act, Ledger, RunRecord};
use crate::config::Config;
use crate::domain::identity::RunId;
use crate::domain::run::State;
use anyhow::Context as _;
use chrono::SecondsFormat;
use clap::{Args, Subcommand};
use serde_json::json;
use std::io::Write;
use std::process::ExitCode;

/// List, show and watch runs, explain what makes requests the same, cancel, requeue or publish again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  model-factory runs list --state FAIL
  model-factory runs show tr_16a2ad9c3ad29e2e989ece1cb3c61936
  model-factory runs watch req-20260301-0001
  model-factory runs explain req-20260301-0001 --output json
  model-factory runs cancel req-20260301-0001 --reason 'wrong manifest'
  model-factory runs requeue tr_16a2ad9c3ad29e2e989ece1cb3c61936 --reason 'store is back'
  model-factory runs retry-publish tr_16a2ad9c3ad29e2e989ece1cb3c61936 --reason 'registry is back'")]
pub(super) struct RunsArgs {
    #[command(subcommand)]
    command: RunsCommand,
    /// How to print.
    #[arg(long, value_enum, default_value = "table", global = true)]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum RunsCommand {
    /// The latest runs, newest first.
    List {
        /// Only runs in this state, for example FAIL.
        #[arg(long)]
        state: Option<State>,
        /// Runs at the most.
        #[arg(long, default_value_t = 50)]
        limit: i64,
    },
    /// One run with its steps, requests and evidence.
    Show {
        /// Run id or request id.
        id: String,
    },
    /// A run's steps and its trainer's progress as they happen, until it is decided. Exit status 0 where it is
    /// published, or passed without leave to publish; 1 where it failed, its publication was given up, or
    /// the wait was too long.
    Watch(watch::WatchArgs),
    /// Why requests are the same run: what was compared, what was ignored, what differs in runs that only
    /// look the same.
    Explain {
        /// Run id or request id.
        id: String,
    },
    /// Stop a run: at once while it is queued, within a heartbeat while it is worked on.
    Cancel(act::ActArgs),
    /// Announce the bundle of a run again, with a fresh bound on attempts. Never trains.
    RetryPublish(act::ActArgs),
    /// Take a run from its worker, or open again one that the world around it failed, with a fresh bound
    /// on attempts.
    Requeue(act::ActArgs),
}

impl RunsArgs {
    pub(super) async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        let ledger = Ledger::connect(&config.ledger).await.context("cannot reach Postgres ([ledger] url)")?;
        let ledger = ledger.telling(&config.lineage, config.kafka.max_value_bytes);
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
            RunsCommand::Explain { id } => {
                explain::explain(&mut out, &ledger, &find(&ledger, &id).await?, self.output).await?;
            }
            RunsCommand::Cancel(args) => return args.run(&mut out, &ledger, Act::Cancel, self.output).await,
            RunsCommand::RetryPublish(args) => {
                return args.run(&mut out, &ledger, Act::RetryPublish, self.output).await;
            }
            RunsCommand::Requeue(args) => return args.run(&mut out, &ledger, Act::Requeue, self.output).await,
        }
        ledger.close().await;
        Ok(ExitCode::SUCCESS)
    }
}

async fn find(ledger: &Ledger, id: &str) -> anyhow::Result<RunRecord> {
    let found = match id.parse::<RunId>() {
        Ok(run_id) => ledger.run(&run_id).await?,
        Err(_) => ledger.run_of_request(id).await?,
    };
    found.with_context(|| format!("the ledger knows no run or request {id:?}"))
}

/// A table of runs; `demo` prints the same.
pub(super) fn list(out: &mut dyn Write, runs: &[RunRecord]) -> anyhow::Result<()> {
    let mut table = Table::new(&["RUN", "STATE", "ATTEMPTS", "FIRST REQUEST", "SCOPE", "REASON"]);
    for run in runs {
        table.row([
            run.run_id.to_string(),
            run.state.to_string(),
            run.full_run_attempts.to_string(),
            run.request.request_id.clone(),
            run.request.target_scope.scope_key(),
            run.reason_code.clone().unwrap_or_default(),
        ]);
    }
    Ok(table.print(out)?)
}

async fn show(out: &mut dyn Write, ledger: &Ledger, run: &RunRecord, output: Output) -> anyhow::Result<()> {
    let transitions = ledger.transitions(&run.run_id).await?;
    let requests = ledger.requests_of(&run.run_id).await?;
    let acts = ledger.acts_of(&run.run_id).await?;
    if output == Output::Json {
        let all = json!({"run": run, "transitions": transitions, "requests": requests, "acts": acts});
        return Ok(json_lines(out, &[all])?);
    }
    list(out, std::slice::from_ref(run))?;
    if let (Some(code), Some(message)) = (&run.reason_code, &run.reason_message) {
        writeln!(out, "\n  {code}: {message}")?;
    }
    if let Some(progress) = run.progress.as_ref().filter(|_| run.state == State::Running) {
        writeln!(out, "\n  {}% {}: {}", progress.percent, progress.step, progress.message)?;
    }
    if let (Some((topic, partition, offset)), Some(due)) = (&run.published, run.answer_due_at) {
        let due = due.to_rfc3339_opts(SecondsFormat::Secs, true);
        writeln!(out, "\n  acknowledged at {topic}/{partition}/{offset}; the registry may answer until {due}")?;
    }
    writeln!(out)?;
    let mut table = Table::new(&["AT", "STEP", "FROM", "TO", "ATTEMPT", "FENCE", "WORKER", "REASON"]);
    for step in &transitions {
        table.row([
            step.at.to_rfc3339_opts(SecondsFormat::Millis, true),
            step.transition.clone(),
            step.from_state.clone(),
            step.to_state.clone(),
            step.attempt.to_string(),
            step.fence.to_string(),
            step.worker.clone(),
            step.reason_code.clone().unwrap_or_default(),
        ]);
    }
    table.print(out)?;
    writeln!(out)?;
    let mut table = Table::new(&["EVIDENCE", "SHA-256", "PATH"]);
    for (role, at) in &run.refs {
        writeln!(out, "  {role:<32} {}  {}", &at.sha256.to_string()[..12], at.reference)?;
    }
    if run.refs.is_empty() {
        table.row(["none yet".to_owned()]);
        table.print(out)?;
    }
    writeln!(out)?;
    for request in &requests {
        let event = request.event.as_ref().map(|event| format!(", CloudEvent {} from {}", event.id, event.source));
        let (id, who) = (&request.request_id, &request.request.requester_principal);
        writeln!(out, "  request {id} by {who}{}", event.unwrap_or_default())?;
    }
    for act in &acts {
        let refused = act.refused_code.as_ref().map(|code| format!(" (refused: {code})")).unwrap_or_default();
        writeln!(out, "  {} by {}: {}{refused}", act.act, act.actor, act.reason)?;
    }
    Ok(())
}
