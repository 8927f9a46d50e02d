//! `runs watch`: a run's steps and the progress of its trainer as they happen, until nothing more will by itself.

use super::find;
use crate::adapters::ledger::{Ledger, RunRecord, TransitionRecord};
use crate::cli::progress::Narrator;
use crate::cli::table::{Output, json_lines};
use crate::clock::Stopwatch;
use crate::domain::identity::RunId;
use crate::domain::run::{FailureCode, State};
use anyhow::Context as _;
use chrono::SecondsFormat;
use clap::Args;
use serde_json::{Value, json};
use std::io::{IsTerminal as _, Write};
use std::process::ExitCode;
use std::time::Duration;

/// How often the ledger is asked.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Which run, and for how long.
#[derive(Debug, Args)]
pub(super) struct WatchArgs {
    /// Run id or request id.
    id: String,
    /// Longest wait in seconds.
    #[arg(long, default_value_t = 86_400)]
    timeout: u64,
}

impl WatchArgs {
    /// Exit status 1 where the run ends badly, and where it has not ended in time.
    pub(super) async fn run(self, out: &mut dyn Write, ledger: &Ledger, output: Output) -> anyhow::Result<ExitCode> {
        let run_id = find(ledger, &self.id).await?.run_id;
        let mut screen = Screen::new(out, output);
        let (mut known, mut told) = (0, None);
        let since = Stopwatch::start();
        loop {
            // First the run, then its steps: a step that is taken in between is shown now, and the end next time.
            let run = ledger.run(&run_id).await?.context("the run is gone")?;
            for step in
                ledger.transitions(&run_id).await?.into_iter().filter(|step| step.seq > known).collect::<Vec<_>>()
            {
                known = step.seq;
                screen.step(&run_id, &step)?;
            }
            if run.state == State::Running && run.progress.is_some() && run.progress != told {
                told.clone_from(&run.progress);
                screen.progress(&run)?;
            }
            if let Some(good) = outcome(&run) {
                screen.end(&run, good)?;
                ledger.close().await;
                return Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
            let waited = since.elapsed();
            anyhow::ensure!(
                waited.as_secs() < self.timeout,
                "{run_id} is still {} after {} seconds",
                run.state,
                self.timeout
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Whether the run ended well; none while something may still happen by itself. A pass is the end where no
/// request allows publication: else it is left in the transaction that makes it.
fn outcome(run: &RunRecord) -> Option<bool> {
    let given_up = || run.reason_code.as_ref()?.parse().ok().map(|code: FailureCode| !code.is_retryable());
    match run.state {
        State::Pass | State::Published => Some(true),
        State::Fail => Some(false),
        State::PublishPending => given_up().filter(|given_up| *given_up).map(|_| false),
        State::Queued | State::Running | State::EvalReady => None,
    }
}

/// Where it is shown: above a line that moves on a terminal, line by line elsewhere.
struct Screen<'a> {
    out: &'a mut dyn Write,
    output: Output,
    narrator: Option<Narrator>,
}

impl<'a> Screen<'a> {
    fn new(out: &'a mut dyn Write, output: Output) -> Self {
        let moving = output == Output::Table && std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
        Self { out, output, narrator: moving.then(Narrator::new) }
    }

    fn show(&mut self, said: Value, text: &str) -> anyhow::Result<()> {
        match (&self.narrator, self.output) {
            (Some(narrator), _) => narrator.done(text),
            (None, Output::Json) => json_lines(self.out, &[said])?,
            (None, Output::Table) => writeln!(self.out, "  {text}")?,
        }
        // Whoever reads a pipe wants it as it happens.
        Ok(self.out.flush()?)
    }

    fn step(&mut self, run_id: &RunId, step: &TransitionRecord) -> anyhow::Result<()> {
        let at = step.at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let reason = match (&step.reason_code, &step.reason_message) {
            (Some(code), Some(message)) => format!("  {code}: {message}"),
            (Some(code), None) => format!("  {code}"),
            (None, _) => String::new(),
        };
        let text = format!("{at}  {:<17} {:<15} attempt {}{reason}", step.transition, step.to_state, step.attempt);
        self.show(json!({"kind": "step", "run_id": run_id, "step": step}), &text)
    }

    fn progress(&mut self, run: &RunRecord) -> anyhow::Result<()> {
        let Some(progress) = &run.progress else { return Ok(()) };
        let text = format!("{:>3}%  {}: {}", progress.percent, progress.step, progress.message);
        if let Some(narrator) = &self.narrator {
            narrator.doing(&text);
            return Ok(());
        }
        self.show(json!({"kind": "progress", "run_id": run.run_id, "progress": progress}), &text)
    }

    fn end(&mut self, run: &RunRecord, good: bool) -> anyhow::Result<()> {
        if let Some(narrator) = self.narrator.take() {
            narrator.finish();
        }
        let said = json!({
            "kind": "end", "run_id": run.run_id, "state": run.state, "good": good,
            "reason_code": run.reason_code, "reason_message": run.reason_message,
        });
        self.show(said, &format!("{} ended {}: {}", run.run_id, if good { "well" } else { "badly" }, run.state))
    }
}
