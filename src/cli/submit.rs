//! `model-factory submit`: checks requests as the worker would, sends them, follows them.

use super::table::{Output, Table, json_lines};
use crate::adapters::dataset::Inputs;
use crate::adapters::kafka::{Follower, Outlet, Record};
use crate::adapters::signing::RequesterPrivateKey;
use crate::clock::Stopwatch;
use crate::config::Config;
use crate::domain::contract::{EventType, Message, RunLifecycleEvent};
use crate::domain::run::State;
use crate::worker::intake::{BatchScreening, Screening};
use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;
use std::io::{Read as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Check requests, send them to the request topic and, with `--wait`, follow them to their outcome.
///
/// Exit status 1 when any request is refused or, with `--wait`, any run fails.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  model-factory submit request.json --wait
  model-factory submit requests.jsonl
  model-factory submit request.json --sign-with requester.pem
  cat request.json | model-factory submit - --dry-run --output json")]
pub(super) struct SubmitArgs {
    /// Files with one JSON request, or one a line, plain, in a structured cloud event or signed; `-` is standard input.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Only say what the identity is, or what is wrong; needs neither broker nor database. What the policy
    /// allows is said where one is configured; quotas are the worker's.
    #[arg(long)]
    dry_run: bool,
    /// Sign each request with the private key in this file (PEM, Ed25519 or P-256).
    #[arg(long, value_name = "KEY")]
    sign_with: Option<PathBuf>,
    /// Follow each run to its outcome.
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
    /// Longest wait in seconds.
    #[arg(long, default_value_t = 3_600)]
    timeout: u64,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

/// What a request is, or why it is refused.
#[derive(Debug, Serialize)]
struct Checked {
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// Whether its outcome is a publication; else it is the gate's verdict.
    #[serde(skip)]
    publishes: bool,
    #[serde(skip)]
    bytes: Vec<u8>,
}

impl SubmitArgs {
    pub(super) fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let mut out = std::io::stdout().lock();
        config.ownership_boundaries()?;
        let screening = Screening::new(&Inputs::open(&config.inputs)?, config.policy()?);
        let key = self.sign_with.as_ref().map(private_key).transpose()?;
        let mut batch = screening.of_batch();
        let mut checked = Vec::new();
        for file in &self.files {
            for bytes in requests(read(file)?) {
                let bytes = key.as_ref().map(|key| key.seal(&bytes)).unwrap_or(bytes);
                let mut request = check(bytes, &config.kafka.topics.requests, &mut batch);
                if let (Some(_), Some(pointer)) = (&key, &mut request.pointer) {
                    // Into what stands in the file, not into the envelope made of it.
                    *pointer = pointer.strip_prefix("/payload").unwrap_or(pointer).to_owned();
                }
                checked.push(request);
            }
        }
        let refused = checked.iter().any(|request| request.code.is_some());
        if self.dry_run || refused {
            print(&mut out, self.output, &checked)?;
            return Ok(if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS });
        }
        super::runtime()?.block_on(self.send(config, &checked, &mut out))
    }

    async fn send(&self, config: &Config, checked: &[Checked], out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let topics = &config.kafka.topics;
        let follower = if self.wait { Some(Follower::at_end(&config.kafka, &topics.lifecycle).await?) } else { None };
        let outlet = Outlet::open(&config.kafka)?;
        for request in checked {
            let key = request.request_id.as_deref().map(str::as_bytes);
            let record = Record { topic: &topics.requests, key, value: &request.bytes, headers: &[] };
            let (partition, offset) = outlet.send(record).await.with_context(|| {
                format!(
                    "no broker took the request ([kafka] brokers = {}); ask `model-factory doctor`",
                    config.kafka.brokers
                )
            })?;
            let id = request.request_id.as_deref().unwrap_or_default();
            writeln!(out, "sent {id} to {}/{partition} at {offset}", topics.requests)?;
        }
        outlet.close().await;
        match follower {
            Some(follower) => self.follow(&follower, checked, out).await,
            None => Ok(ExitCode::SUCCESS),
        }
    }

    /// Prints events of these requests and their runs until every one of them is decided.
    async fn follow(&self, follower: &Follower, checked: &[Checked], out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let since = Stopwatch::start();
        let mut open: Vec<&Checked> = checked.iter().collect();
        let mut good = true;
        while !open.is_empty() {
            if since.elapsed() > Duration::from_secs(self.timeout) {
                bail!("{} requests are still open after {} seconds", open.len(), self.timeout);
            }
            let Some(record) = follower.next(Duration::from_secs(1)).await? else { continue };
            let Ok(event) = serde_json::from_slice::<RunLifecycleEvent>(&record.value) else { continue };
            let run_id = event.run_id.as_ref().map(ToString::to_string);
            let concerns = |request: &&Checked| request.request_id == event.request_id || request.run_id == run_id;
            if !open.iter().any(concerns) {
                continue;
            }
            let reason = event.reason.as_ref().map(|reason| format!("{}: {}", reason.code, reason.message));
            let progress = event.progress.as_ref().map(|p| format!("{}% {}: {}", p.percent, p.step, p.message));
            writeln!(
                out,
                "{:<24} {} {}",
                event.event_type,
                run_id.as_deref().unwrap_or("-"),
                reason.or(progress).unwrap_or_default()
            )?;
            open.retain(|request| match verdict(&event, request.publishes) {
                Some(success) if concerns(request) => {
                    good &= success;
                    false
                }
                Some(_) | None => true,
            });
        }
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Whether this event decides a request, and how. A pass is final only where nothing is to be published.
fn verdict(event: &RunLifecycleEvent, publishes: bool) -> Option<bool> {
    match event.event_type {
        EventType::PublishPublished => Some(true),
        EventType::RequestRejected
        | EventType::RunGateFailed
        | EventType::RunFailed
        | EventType::RunCancelled
        | EventType::PublishExhausted => Some(false),
        EventType::RequestDeduplicated => match event.state {
            Some(State::Published) => Some(true),
            Some(State::Fail) => Some(false),
            Some(State::Pass | State::PublishPending) if !publishes => Some(true),
            Some(State::Queued | State::Running | State::EvalReady | State::Pass | State::PublishPending) | None => {
                None
            }
        },
        EventType::RunGatePassed => (!publishes).then_some(true),
        EventType::RequestAdmitted
        | EventType::RunStarted
        | EventType::RunProgress
        | EventType::RunEvalReady
        | EventType::RunRequeued
        | EventType::PublishPending
        | EventType::PublishRetryStarted => None,
    }
}

fn read(file: &PathBuf) -> anyhow::Result<Vec<u8>> {
    if file.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

fn private_key(file: &PathBuf) -> anyhow::Result<RequesterPrivateKey> {
    let pem = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    RequesterPrivateKey::from_pem(&pem).with_context(|| format!("cannot sign with {}", file.display()))
}

/// A file is one request, unless it is not one JSON value and every line of it is: then it is one a line.
fn requests(bytes: Vec<u8>) -> Vec<Vec<u8>> {
    let is_json = |bytes: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
    let lines: Vec<&[u8]> =
        bytes.split(|&b| b == b'\n').filter(|line| !line.iter().all(u8::is_ascii_whitespace)).collect();
    if lines.len() > 1 && !is_json(&bytes) && lines.iter().any(|line| is_json(line)) {
        return lines.into_iter().map(<[u8]>::to_vec).collect();
    }
    vec![bytes]
}

fn check(bytes: Vec<u8>, topic: &str, batch: &mut BatchScreening<'_>) -> Checked {
    let empty = Checked {
        request_id: None,
        run_key: None,
        run_id: None,
        code: None,
        pointer: None,
        message: None,
        publishes: true,
        bytes: Vec::new(),
    };
    match batch.judge(topic, &bytes).0 {
        Ok(Message::Train(request)) => {
            let run_key = request.run_key();
            Checked {
                request_id: Some(request.request_id.clone()),
                run_key: Some(run_key.to_string()),
                run_id: Some(run_key.run_id().to_string()),
                publishes: request.publish_allowed && request.intent_kind.is_publishable(),
                bytes,
                ..empty
            }
        }
        Ok(Message::PublishRetry(command)) => {
            Checked { request_id: Some(command.request_id), run_id: Some(command.run_id.to_string()), bytes, ..empty }
        }
        Ok(Message::Cancel(command)) => {
            Checked { request_id: Some(command.request_id), run_id: Some(command.run_id.to_string()), bytes, ..empty }
        }
        Err(rejection) => Checked {
            request_id: rejection.ids.request_id,
            code: Some(rejection.code.to_string()),
            pointer: Some(rejection.pointer),
            message: Some(rejection.message),
            ..empty
        },
    }
}

fn print(out: &mut dyn Write, output: Output, checked: &[Checked]) -> anyhow::Result<()> {
    if output == Output::Json {
        return Ok(json_lines(out, checked)?);
    }
    for request in checked {
        let id = request.request_id.as_deref().unwrap_or("(no id)");
        match (&request.code, &request.run_id) {
            (Some(code), _) => {
                let (pointer, message) = (request.pointer.as_deref(), request.message.as_deref());
                writeln!(out, "{id}: {code} at {:?}: {}", pointer.unwrap_or_default(), message.unwrap_or_default())?;
            }
            (None, run_id) => {
                let mut table = Table::new(&["REQUEST", id]);
                table.row(["RUN".to_owned(), run_id.clone().unwrap_or_default()]);
                if let Some(run_key) = &request.run_key {
                    writeln!(out, "  run key {run_key}")?;
                }
                table.print(out)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::contract;

    #[test]
    fn one_value_is_one_request_and_lines_of_values_are_many() {
        assert_eq!(requests(b"{\n  \"a\": 1\n}\n".to_vec()).len(), 1);
        assert_eq!(requests(b"{\"a\":1}\n{\"a\":2}\n\n".to_vec()).len(), 2);
        assert_eq!(requests(b"{broken\n".to_vec()).len(), 1);
    }

    #[test]
    fn a_dry_run_prints_identity_or_rejection_as_json() {
        let screening = Screening::from(contract::AllowList::new(["s3://fraud-platform".to_owned()], true));
        let schema: serde_json::Value =
            serde_json::from_str(contract::schema_text(contract::SchemaName::TrainBuildRequest)).unwrap();
        let good = check(schema["examples"][0].to_string().into_bytes(), "requests", &mut screening.of_batch());
        let bad = check(b"{}".to_vec(), "requests", &mut screening.of_batch());
        let mut out = Vec::new();
        print(&mut out, Output::Json, &[good, bad]).unwrap();
        let lines: Vec<serde_json::Value> =
            String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(lines[0]["run_id"].as_str().unwrap().starts_with("tr_"));
        assert_eq!(lines[0]["run_key"].as_str().unwrap().len(), 64);
        assert_eq!(lines[1]["code"], "SCHEMA_VERSION_UNSUPPORTED");
        assert_eq!(lines[1]["pointer"], "/schema_version");
    }
}
