//! `model-factory runs`: what the ledger holds.

use super::table::{Output, Table, json_lines};
use crate::config::Config;
use crate::identity::RunId;
use crate::ledger::{Ledger, RunRecord};
use crate::run::State;
use anyhow::Context as _;
use chrono::SecondsFormat;
use clap::{Args, Subcommand};
use serde_json::json;
use std::io::Write;
use std::process::ExitCode;

/// List runs, show one with its steps and evidence, or explain what makes requests the same.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  model-factory runs list --state FAIL
  model-factory runs show tr_16a2ad9c3ad29e2e989ece1cb3c61936
  model-factory runs explain req-20260301-0001 --output json")]
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
    /// The canonical form that makes requests the same run, and the requests that share it.
    Explain {
        /// Run id or request id.
        id: String,
    },
}

impl RunsArgs {
    pub(super) async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        let ledger = Ledger::connect(&config.ledger).await.context("cannot reach Postgres ([ledger] url)")?;
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
            RunsCommand::Explain { id } => explain(&mut out, &ledger, &find(&ledger, &id).await?, self.output).await?,
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
    if output == Output::Json {
        return Ok(json_lines(out, &[json!({"run": run, "transitions": transitions, "requests": requests})])?);
    }
    list(out, std::slice::from_ref(run))?;
    if let (Some(code), Some(message)) = (&run.reason_code, &run.reason_message) {
        writeln!(out, "\n  {code}: {message}")?;
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
        writeln!(out, "  request {} by {}", request.request_id, request.request.requester_principal)?;
    }
    Ok(())
}

async fn explain(out: &mut dyn Write, ledger: &Ledger, run: &RunRecord, output: Output) -> anyhow::Result<()> {
    let requests = ledger.requests_of(&run.run_id).await?;
    let canonical = run.request.meaning().canonical();
    const IGNORED: [&str; 3] = ["request_id", "requester_principal", "publish_allowed"];
    if output == Output::Json {
        let ids: Vec<&str> = requests.iter().map(|request| request.request_id.as_str()).collect();
        let explained = json!({
            "run_id": run.run_id,
            "run_key": run.request.run_key(),
            "canonical": canonical,
            "ignored_fields": IGNORED,
            "requests": ids,
        });
        return Ok(json_lines(out, &[explained])?);
    }
    writeln!(out, "  run      {}", run.run_id)?;
    writeln!(out, "  run key  {}  = sha256 of", run.request.run_key())?;
    writeln!(out, "  {canonical}")?;
    writeln!(out, "  Not part of it: {}; order and repetition of manifest references.", IGNORED.join(", "))?;
    for request in requests {
        writeln!(out, "  request  {} (publish_allowed: {})", request.request_id, request.request.publish_allowed)?;
    }
    Ok(())
}
