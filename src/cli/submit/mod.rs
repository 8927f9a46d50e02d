//! `model-factory submit`: checks requests as a worker would, sends them, and follows them.

mod check;

use super::output::{Output, stdout};
use crate::adapters::dataset::Inputs;
use crate::adapters::kafka::{Follower, Outlet, Record};
use crate::adapters::signing::RequesterPrivateKey;
use crate::clock::Stopwatch;
use crate::config::Config;
use crate::domain::contract::{AllowList, EventType, RunLifecycleEvent};
use crate::domain::identity::RunId;
use crate::domain::run::State;
use crate::secret::check_private;
use crate::telemetry::plain;
use crate::worker::intake::Screening;
use anyhow::{Context as _, ensure};
use check::{CheckedRequest, check, print, requests};
use std::io::{Read as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Check requests, send them to the request topic and, with `--wait`, follow them to their outcome.
///
/// Exit status 1 if any request is refused or, with `--wait`, any run ends in FAIL or its publication is given up.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  model-factory submit request.json --wait
  model-factory submit requests.jsonl
  model-factory submit request.json --sign-with requester.pem
  cat request.json | model-factory submit - --dry-run --output json")]
pub(super) struct Args {
    /// Files with one JSON request, or one per line. A request is plain, in a structured cloud event or signed. `-` is
    /// standard input.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Print each request's identity, or what is wrong with it, and send nothing. Needs no broker or database.
    /// References are checked if `[inputs]` names a root or prefixes. Requesters are checked if there is a policy.
    /// Quotas are checked only by the worker.
    #[arg(long)]
    dry_run: bool,
    /// Sign each request with the private key in this file (PEM, Ed25519 or P-256).
    #[arg(long, value_name = "KEY")]
    sign_with: Option<PathBuf>,
    /// Follow each run to its outcome.
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
    /// Timeout in seconds.
    #[arg(long, default_value_t = 3_600)]
    timeout: u64,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

impl Args {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let mut out = stdout();
        config.ownership_boundaries()?;
        let screening = self.screening(config)?;
        let key = self.sign_with.as_ref().map(private_key).transpose()?;
        let mut batch = screening.of_batch();
        let mut checked = Vec::new();
        for file in &self.files {
            for bytes in requests(read(file)?) {
                let bytes = key.as_ref().map(|key| key.seal(&bytes)).unwrap_or(bytes);
                let mut request = check(bytes, &config.kafka.topics.requests, &mut batch);
                if let (Some(_), Some(pointer)) = (&key, &mut request.pointer) {
                    // Makes the pointer start at the request in the file, not at the signed envelope around it.
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
        self.send(config, &checked, &mut out).await
    }

    /// Builds the checks of a worker. A dry run without root and allowed prefixes does not check references.
    fn screening(&self, config: &Config) -> anyhow::Result<Screening> {
        let policy = config.policy()?;
        if self.dry_run && config.inputs.root.is_none() && config.inputs.allow.is_empty() {
            let note = "references were not checked: neither [inputs] root nor [inputs] allow is set";
            writeln!(std::io::stderr(), "model-factory: {}", plain(note))?;
            return Ok(Screening::from(AllowList::everything()).with_policy(policy));
        }
        Ok(Screening::new(&Inputs::open(&config.inputs)?, policy))
    }

    async fn send(&self, config: &Config, checked: &[CheckedRequest], out: &mut dyn Write) -> anyhow::Result<ExitCode> {
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
            Some(follower) => follow(&follower, checked, Duration::from_secs(self.timeout), out).await,
            None => Ok(ExitCode::SUCCESS),
        }
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
    check_private(file).map_err(anyhow::Error::msg)?;
    let pem = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    RequesterPrivateKey::from_pem(&pem).with_context(|| format!("cannot sign with {}", file.display()))
}

/// Prints lifecycle events of these requests and their runs, until every request is decided.
async fn follow(
    follower: &Follower,
    checked: &[CheckedRequest],
    patience: Duration,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let since = Stopwatch::start();
    let mut open: Vec<&CheckedRequest> = checked.iter().collect();
    let mut good = true;
    while !open.is_empty() {
        let (count, seconds) = (open.len(), patience.as_secs());
        ensure!(since.elapsed() <= patience, "{count} requests are still open after {seconds} seconds");
        let Some(record) = follower.next(Duration::from_secs(1)).await? else { continue };
        let Ok(event) = serde_json::from_slice::<RunLifecycleEvent>(&record.value) else { continue };
        if !open.iter().any(|request| concerns(&event, request)) {
            continue;
        }
        let reason = event.reason.as_ref().map(|reason| format!("{}: {}", reason.code, reason.message));
        let progress = event.progress.as_ref().map(|p| format!("{}% {}: {}", p.percent, p.step, p.message));
        let (run, what) = (event.run_id.as_ref().map_or("-", RunId::as_str), reason.or(progress).unwrap_or_default());
        writeln!(out, "{:<24} {run} {what}", event.event_type)?;
        open.retain(|request| match verdict(&event, request.ends_at_gate) {
            Some(success) if concerns(&event, request) => {
                good &= success;
                false
            }
            Some(_) | None => true,
        });
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns whether an event is about this request. Its run is known before it is sent, and the refusal of its record names
/// the record's bytes. The request id does not tell: another principal may use the same id.
fn concerns(event: &RunLifecycleEvent, request: &CheckedRequest) -> bool {
    match event.event_type {
        EventType::RequestRejected => event.record_sha256.is_some() && event.record_sha256 == request.record_sha256,
        _ => event.run_id.as_ref().is_some_and(|run_id| request.run_id.as_deref() == Some(run_id.as_str())),
    }
}

/// Returns whether the request succeeded. `None` while it is open. PASS is final only if nothing is to be published.
fn verdict(event: &RunLifecycleEvent, ends_at_gate: bool) -> Option<bool> {
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
            Some(State::Pass | State::PublishPending) if ends_at_gate => Some(true),
            Some(State::Queued | State::Running | State::EvalReady | State::Pass | State::PublishPending) | None => {
                None
            }
        },
        EventType::RunGatePassed => ends_at_gate.then_some(true),
        EventType::RequestAdmitted
        | EventType::RunStarted
        | EventType::RunProgress
        | EventType::RunEvalReady
        | EventType::RunRequeued
        | EventType::PublishPending
        | EventType::PublishRetryStarted => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::contract::{SchemaName, schema_text};
    use crate::domain::identity::Digest;
    use serde_json::{Value, json};

    #[test]
    fn an_event_about_another_principals_request_with_the_same_id_is_not_ones_own() {
        let schema: Value = serde_json::from_str(schema_text(SchemaName::RunLifecycle)).unwrap();
        let of_run = |event: &str, run_id: &str| {
            let mut value = schema["examples"][0].clone();
            value["request_id"] = json!("req-0001");
            value["event_type"] = json!(event);
            value["run_id"] = json!(run_id);
            serde_json::from_value::<RunLifecycleEvent>(value).unwrap()
        };
        let refused = |bytes: &[u8]| RunLifecycleEvent {
            run_id: None,
            record_sha256: Some(Digest::of(bytes)),
            ..of_run("request.rejected", "tr_00000000000000000000000000000001")
        };
        let mine = CheckedRequest {
            request_id: Some("req-0001".to_owned()),
            run_id: Some("tr_00000000000000000000000000000001".to_owned()),
            record_sha256: Some(Digest::of(b"mine")),
            ..CheckedRequest::default()
        };
        assert!(concerns(&of_run("publish.published", "tr_00000000000000000000000000000001"), &mine));
        assert!(!concerns(&of_run("publish.published", "tr_00000000000000000000000000000002"), &mine));
        assert!(concerns(&refused(b"mine"), &mine));
        assert!(!concerns(&refused(b"another's"), &mine));
        let unnamed = RunLifecycleEvent { record_sha256: None, ..refused(b"") };
        assert!(!concerns(&unnamed, &mine));
        assert!(!concerns(&unnamed, &CheckedRequest::default()), "neither has a record");
    }
}
