//! `runs watch`: prints a run's steps and its trainer's progress as they happen, until the run is decided.

use crate::adapters::ledger::{Ledger, RunRecord, TransitionRecord};
use crate::cli::ledger::require_run;
use crate::cli::output::{Output, json_lines};
use crate::cli::progress::Narrator;
use crate::clock::Stopwatch;
use crate::domain::identity::RunId;
use crate::domain::run::{FailureCode, State};
use anyhow::{Context as _, ensure};
use chrono::SecondsFormat;
use serde_json::{Value, json};
use std::io::{IsTerminal as _, Write};
use std::process::ExitCode;
use std::time::Duration;

const POLL_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Run id or request id.
    id: String,
    /// Timeout in seconds.
    #[arg(long, default_value_t = 86_400)]
    timeout: u64,
}

impl Args {
    /// Watches until the run is decided. Exit status 1 if the run ended badly. Returns an error if it is not decided in
    /// time.
    pub(super) async fn run(self, out: &mut dyn Write, ledger: &Ledger, output: Output) -> anyhow::Result<ExitCode> {
        let run_id = require_run(ledger, &self.id).await?.run_id;
        let mut screen = Screen::new(out, output);
        let (mut last_seq, mut last_progress) = (0, None);
        let since = Stopwatch::start();
        loop {
            // Reads the run before its steps. A step that happens between the two reads is shown now, and the new state
            // next time.
            let run = ledger.run(&run_id).await?.context("the run is gone")?;
            for step in ledger.transitions(&run_id).await? {
                if step.seq > last_seq {
                    last_seq = step.seq;
                    screen.step(&run_id, &step)?;
                }
            }
            if run.state == State::Running && run.progress.is_some() && run.progress != last_progress {
                last_progress.clone_from(&run.progress);
                screen.progress(&run)?;
            }
            if let Some(good) = outcome(&run) {
                screen.end(&run, good)?;
                return Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
            let in_time = since.elapsed().as_secs() < self.timeout;
            ensure!(in_time, "{run_id} is still {} after {} seconds", run.state, self.timeout);
            tokio::time::sleep(POLL_EVERY).await;
        }
    }
}

/// Returns whether the run ended well. `None` while a worker may still change it. A run stays in PASS only if no
/// request allows publication: otherwise the transaction that passes the run also requests its publication.
fn outcome(run: &RunRecord) -> Option<bool> {
    let code: Option<FailureCode> = run.reason_code.as_deref().and_then(|code| code.parse().ok());
    match run.state {
        State::Pass | State::Published => Some(true),
        State::Fail => Some(false),
        State::PublishPending => code.is_some_and(|code| !code.is_retryable()).then_some(false),
        State::Queued | State::Running | State::EvalReady => None,
    }
}

/// Prints one line for each step and each progress report. On a terminal, progress is one changing line below the
/// steps.
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

    fn show(&mut self, json: Value, text: &str) -> anyhow::Result<()> {
        match (&self.narrator, self.output) {
            (Some(narrator), _) => narrator.done(text),
            (None, Output::Json) => json_lines(self.out, &[json])?,
            (None, Output::Table) => writeln!(self.out, "  {text}")?,
        }
        // Flushes, so that the reader of a pipe gets each line as it happens.
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
