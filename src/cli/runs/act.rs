//! `runs cancel`, `runs retry-publish`, `runs requeue`: an operator's act, which the ledger records with its reason.

use super::find::find;
use crate::adapters::ledger::{CommandRequest, Ledger, RunCommand};
use crate::cli::actor::ActorArgs;
use crate::cli::output::{Output, json_lines};
use anyhow::Context as _;
use serde_json::json;
use std::io::Write;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Run id or request id.
    id: String,
    /// Reason; kept in the ledger.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    actor: ActorArgs,
}

impl Args {
    /// Exit status 1 where the ledger refuses.
    pub(super) async fn run(
        self,
        out: &mut dyn Write,
        ledger: &Ledger,
        act: RunCommand,
        output: Output,
    ) -> anyhow::Result<ExitCode> {
        let run = find(ledger, &self.id).await?;
        let actor = self.actor.name();
        let order = CommandRequest { command: act, actor: &actor, why: &self.reason };
        let done = ledger.command(&run.run_id, order).await?.context("the run is gone")?;
        ledger.close().await;
        let (state, refused) = match &done {
            Ok(state) => (Some(*state), None),
            Err(refused) => (None, Some(refused)),
        };
        if output == Output::Json {
            let code = refused.map(|refused| refused.code);
            let message = refused.map(|refused| refused.message.clone());
            let said =
                json!({"run_id": run.run_id, "act": act.as_str(), "state": state, "code": code, "message": message});
            json_lines(out, &[said])?;
        } else if let Some(refused) = refused {
            writeln!(out, "refused: {refused}")?;
        } else if let Some(state) = state {
            writeln!(out, "{} {}: now {state}", act.as_str(), run.run_id)?;
        }
        Ok(if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
