//! `model-factory demo`: runs the whole path once with real training, and checks every expectation.

use super::output::{json_lines, stdout};
use super::progress::Narrator;
use super::{dead_letters, runs};
use crate::adapters::kafka::{Follower, Inbound, Outlet, Record};
use crate::adapters::ledger::{Ledger, RunRecord};
use crate::clock::Stopwatch;
use crate::domain::contract::{EvalReport, EventType, RunLifecycleEvent};
use crate::domain::identity::RunId;
use crate::domain::run::{FailureCode, State};
use crate::tools::dev::requests::{DemoRequest, Fate, demo_requests};
use crate::tools::dev::{Environment, PUBLIC_KEY_FILE};
use crate::worker::{self, Role};
use anyhow::{Context as _, bail};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::watch;

/// Show the whole path: an in-process Kafka broker, a private Postgres, generated card payments, real training. Exit
/// status 0 only if every expectation holds.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  model-factory demo --state-dir /tmp/mf-demo")]
pub(super) struct Args {
    /// Folder for inputs, evidence and events. Files of an earlier demo in it are removed.
    #[arg(long, value_name = "DIR", default_value = "target/demo")]
    state_dir: PathBuf,
    /// Threads of a fit. 0 uses every core.
    #[arg(long, default_value_t = 0)]
    threads: u32,
}

/// Readers of the worker's topics, and what they have read so far.
struct Observed {
    lifecycle: Follower,
    publication: Follower,
    dead_letter: Follower,
    events: Vec<RunLifecycleEvent>,
    publications: Vec<Inbound>,
    dead_letters: Vec<Inbound>,
}

impl Args {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        clear(&self.state_dir)?;
        let bar = Narrator::new();
        let mut environment = Environment::start(&self.state_dir, |what| bar.doing(what)).await?;
        environment.config.trainer.threads = self.threads;
        bar.done(&format!("generated {} payments", environment.inputs.payments));
        let requests = demo_requests(&environment.inputs);
        let observed = play(&environment, &requests, &bar).await?;
        bar.finish();
        let ledger = Ledger::connect(&environment.config.ledger).await?;
        let mut out = stdout();
        report(&mut out, &environment, &ledger, &observed).await?;
        let held = judge(&mut out, &ledger, &requests, &observed).await?;
        ledger.close().await;
        drop(environment);
        Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Removes the files of an earlier demo. Returns an error if the folder holds anything else.
fn clear(folder: &Path) -> anyhow::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    let is_ours =
        |name: &str| ["inputs", "evidence", "scratch", "postgres", "events.jsonl", PUBLIC_KEY_FILE].contains(&name);
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !is_ours(&name) {
            bail!("{} holds {name}, which is not a demo's; choose another --state-dir", folder.display());
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Starts a worker, sends the requests, and reads the worker's topics until every request is decided.
async fn play(environment: &Environment, requests: &[DemoRequest], bar: &Narrator) -> anyhow::Result<Observed> {
    let config = &environment.config;
    let topics = &config.kafka.topics;
    let mut observed = Observed {
        lifecycle: Follower::at_end(&config.kafka, &topics.lifecycle).await?,
        publication: Follower::at_end(&config.kafka, &topics.publications).await?,
        dead_letter: Follower::at_end(&config.kafka, &topics.dead_letters).await?,
        events: Vec::new(),
        publications: Vec::new(),
        dead_letters: Vec::new(),
    };
    let outlet = Outlet::open(&config.kafka)?;
    for request in requests {
        let key = request.request_id.map(str::as_bytes);
        let record = Record { topic: &topics.requests, key, value: &request.bytes, headers: &[] };
        outlet.send(record).await?;
    }
    bar.done(&format!("sent {} messages to {}", requests.len(), topics.requests));
    bar.doing("waiting for the worker");

    let (stop, stopped) = watch::channel(false);
    #[expect(clippy::disallowed_methods, reason = "the demo's worker lives beside the listener")]
    let worker = tokio::spawn(worker::run(config.clone(), Role::all(), worker::unique_name()?, stopped, |_| {}));
    let listening = observed.listen(requests, bar).await;
    stop.send_replace(true);
    worker.await.context("the worker panicked")?.context("the worker failed")?;
    listening?;
    Ok(observed)
}

impl Observed {
    async fn listen(&mut self, requests: &[DemoRequest], bar: &Narrator) -> anyhow::Result<()> {
        const BOUND: Duration = Duration::from_mins(5);
        const ENDS: [EventType; 3] = [EventType::PublishPublished, EventType::RunFailed, EventType::RunGateFailed];
        let since = Stopwatch::start();
        let (mut letters, mut ends, mut joins) = (0, 0, 0);
        for request in requests {
            match request.fate {
                Fate::Rejected(_) | Fate::Conflict => letters += 1,
                Fate::Published | Fate::Fails(_) => ends += 1,
                Fate::DuplicateRequest | Fate::DuplicateRun => joins += 1,
            }
        }
        while self.dead_letters.len() < letters
            || self.count(&ENDS) < ends
            || self.count(&[EventType::RequestDeduplicated]) < joins
        {
            if since.elapsed() > BOUND {
                bail!("not everything was decided within {} seconds", BOUND.as_secs());
            }
            if let Some(record) = self.lifecycle.next(Duration::from_millis(100)).await? {
                let event: RunLifecycleEvent = serde_json::from_slice(&record.value)?;
                let who = event.run_id.as_ref().map(ToString::to_string).or_else(|| event.request_id.clone());
                let step = format!("{} {}", event.event_type, who.unwrap_or_default());
                bar.done(&step);
                bar.doing(&format!("after {step}"));
                self.events.push(event);
            }
            while let Some(record) = self.publication.next(Duration::from_millis(5)).await? {
                self.publications.push(record);
            }
            while let Some(record) = self.dead_letter.next(Duration::from_millis(5)).await? {
                self.dead_letters.push(record);
            }
        }
        // Also finds a second publication, which must not exist.
        while let Some(record) = self.publication.next(Duration::from_millis(300)).await? {
            self.publications.push(record);
        }
        Ok(())
    }

    fn count(&self, of: &[EventType]) -> usize {
        self.events.iter().filter(|event| of.contains(&event.event_type)).count()
    }

    /// Returns whether a dead letter with this code carries the request's own bytes.
    fn dead_lettered(&self, request: &DemoRequest, code: FailureCode) -> bool {
        self.dead_letters.iter().any(|letter| {
            letter.value == request.bytes && letter.headers.get("mf_code").is_some_and(|found| found == code.as_str())
        })
    }

    /// Returns whether the events of each run are numbered 1, 2, 3… in the order in which they were read.
    fn in_order(&self) -> bool {
        let mut last: BTreeMap<&RunId, u64> = BTreeMap::new();
        self.events.iter().filter_map(|event| Some((event.run_id.as_ref()?, event.seq))).all(|(run_id, seq)| {
            let last = last.entry(run_id).or_default();
            *last += 1;
            seq == *last
        })
    }
}

/// Prints runs, dead letters, metrics, and the paths of bundle, report, events and evidence.
async fn report(
    out: &mut dyn Write,
    environment: &Environment,
    ledger: &Ledger,
    observed: &Observed,
) -> anyhow::Result<()> {
    let all = ledger.runs(None, 50).await?;
    writeln!(out, "\nRuns in the ledger")?;
    runs::list(out, &all)?;
    writeln!(out, "\nDead letters")?;
    dead_letters::list(out, &ledger.dead_letters(None, false, 50).await?)?;
    let evidence = environment.folder.join("evidence");
    for run in all.iter().filter(|run| run.state == State::Published) {
        writeln!(out, "\nMetrics of {} on payments it never saw", run.run_id)?;
        metrics(out, &evidence, run)?;
        if let Some(bundle) = run.refs.get("bundle/bundle.json") {
            let path = evidence.join(&bundle.reference);
            writeln!(out, "\n  bundle   {}", path.parent().unwrap_or(&path).display())?;
            writeln!(out, "  key      {}", environment.folder.join(PUBLIC_KEY_FILE).display())?;
        }
        if let Some(page) = run.refs.get("report_page") {
            writeln!(out, "  report   {}", evidence.join(&page.reference).display())?;
        }
    }
    let events = environment.folder.join("events.jsonl");
    let mut lines = Vec::new();
    json_lines(&mut lines, &observed.events)?;
    fs::write(&events, lines)?;
    writeln!(out, "  events   {}", events.display())?;
    Ok(writeln!(out, "  evidence {}", evidence.display())?)
}

fn metrics(out: &mut dyn Write, evidence: &Path, run: &RunRecord) -> anyhow::Result<()> {
    let Some(at) = run.refs.get("eval_report") else { return Ok(()) };
    let report: EvalReport = serde_json::from_slice(&fs::read(evidence.join(&at.reference))?)?;
    let window = report.metrics.dataset.test;
    let trees = report.metrics.rounds.map_or_else(String::new, |rounds| format!(", {rounds} trees"));
    writeln!(out, "  {} payments, {} frauds{trees}", window.rows, window.positives)?;
    for (name, metric) in &report.metrics.scores {
        if let Some(value) = metric.value {
            writeln!(out, "  {name:<28} {value:.4}")?;
        }
    }
    Ok(())
}

/// Compares the outcome of the demo with its expectations, prints each expectation, and returns whether all hold.
async fn judge(
    out: &mut dyn Write,
    ledger: &Ledger,
    requests: &[DemoRequest],
    observed: &Observed,
) -> anyhow::Result<bool> {
    let mut held = true;
    let mut say = |name: &str, good: bool| -> std::io::Result<()> {
        held &= good;
        writeln!(out, "  {}  {name}", if good { "ok    " } else { "FAILED" })
    };
    for request in requests {
        let run = match request.request_id {
            Some(id) => ledger.run_of_request(id).await?,
            None => None,
        };
        let run = run.as_ref();
        let good = match request.fate {
            Fate::Published => run.is_some_and(|run| run.state == State::Published) && observed.publications.len() == 1,
            Fate::DuplicateRequest | Fate::DuplicateRun => observed.events.iter().any(|event| {
                event.event_type == EventType::RequestDeduplicated && event.request_id.as_deref() == request.request_id
            }),
            Fate::Conflict => observed.dead_lettered(request, FailureCode::RequestIdPayloadMismatch),
            Fate::Rejected(code) => observed.dead_lettered(request, code),
            Fate::Fails(code) => {
                run.is_some_and(|run| run.state == State::Fail && run.reason_code.as_deref() == Some(code.as_str()))
            }
        };
        say(&format!("{}: {:?}", request.name, request.fate), good)?;
    }
    say("events of each run are numbered 1, 2, 3… in the order they came", observed.in_order())?;
    Ok(held)
}
