//! `submit --wait`: follows requests to their outcome.

use super::check::CheckedRequest;
use crate::adapters::kafka::Follower;
use crate::clock::Stopwatch;
use crate::domain::contract::{EventType, RunLifecycleEvent};
use crate::domain::run::State;
use anyhow::ensure;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

/// Prints events of these requests and their runs until every request is decided.
pub(super) async fn follow(
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
        let run_id = event.run_id.as_ref().map(ToString::to_string);
        let concerns = |request: &&CheckedRequest| request.request_id == event.request_id || request.run_id == run_id;
        if !open.iter().any(concerns) {
            continue;
        }
        let reason = event.reason.as_ref().map(|reason| format!("{}: {}", reason.code, reason.message));
        let progress = event.progress.as_ref().map(|p| format!("{}% {}: {}", p.percent, p.step, p.message));
        let (run, what) = (run_id.as_deref().unwrap_or("-"), reason.or(progress).unwrap_or_default());
        writeln!(out, "{:<24} {run} {what}", event.event_type)?;
        open.retain(|request| match verdict(&event, request.ends_at_gate) {
            Some(success) if concerns(request) => {
                good &= success;
                false
            }
            Some(_) | None => true,
        });
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether the request succeeded; none while it is open. A pass is final only where nothing is to be published.
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
