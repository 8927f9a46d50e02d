//! Measures how fast the worker's own intake decides on records of a topic that is already full. Also measures the time
//! from a published request until its event `request.admitted` can be read.

use super::database::{BenchDatabase, BenchError};
use super::load::{expect, request};
use super::measure::{Figures, Laps};
use crate::adapters::kafka::{self, Follower, Inbox, KafkaSettings, Outlet, Record};
use crate::adapters::ledger::Ledger;
use crate::clock::Stopwatch;
use crate::domain::contract::{AllowList, EventType, OwnershipBoundaries, RunLifecycleEvent};
use crate::domain::run::Outcome;
use crate::worker::intake::{BATCH, Intake, IntakeError, IntakeOutcome};
use crate::worker::liveness::Heartbeat;
use crate::worker::relay::Relay;
use futures::future::try_join_all;
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

#[derive(Debug, Clone)]
pub struct AdmissionSpec {
    pub requests: usize,
    pub tenants: usize,
}

/// Measures new requests, the ceiling, the same records again, and the same requests in new records. The measured time
/// includes fetching, parsing and schema validation.
pub async fn admission(
    database: &BenchDatabase,
    kafka: &KafkaSettings,
    spec: &AdmissionSpec,
    mut doing: impl FnMut(&str),
) -> Result<Vec<Figures>, BenchError> {
    let mut measured = Vec::new();
    let another_group = KafkaSettings { group_id: format!("{}-again", kafka.group_id), ..kafka.clone() };
    doing("publishing requests");
    publish(kafka, spec).await?;
    doing("admitting new requests");
    let new = |outcome: &Outcome| matches!(outcome, Outcome::Admitted { .. });
    measured.push(database.costing(|ledger| drain(ledger, kafka, spec, "new requests", new)).await?);
    doing("inserting the same rows by plain SQL");
    measured.push(database.ceiling(&["inbox", "requests", "runs", "outbox"], "request", BATCH, spec.requests).await?);
    doing("bringing the same records again");
    let again = |ledger| drain(ledger, &another_group, spec, "the same records again", new);
    measured.push(database.costing(again).await?);
    doing("publishing the same requests again");
    publish(kafka, spec).await?;
    doing("bringing the same requests in new records");
    let duplicate = |outcome: &Outcome| matches!(outcome, Outcome::DuplicateRequest { .. });
    let known = |ledger| drain(ledger, kafka, spec, "known requests, new records", duplicate);
    measured.push(database.costing(known).await?);
    Ok(measured)
}

async fn publish(kafka: &KafkaSettings, spec: &AdmissionSpec) -> Result<(), BenchError> {
    let outlet = Outlet::open(kafka)?;
    for start in (0..spec.requests).step_by(BATCH) {
        let values: Vec<Vec<u8>> = (start..(start + BATCH).min(spec.requests))
            .map(|index| request(&format!("bench-{index:012}"), index, spec.tenants))
            .collect();
        let topic = kafka.topics.requests.as_str();
        try_join_all(values.iter().map(|value| outlet.send(Record { topic, key: None, value, headers: &[] }))).await?;
    }
    outlet.close().await;
    Ok(())
}

/// Runs an intake until it has decided on every published record. Timing starts with the second batch, because the
/// consumer joins its group before the first.
async fn drain(
    ledger: Ledger,
    kafka: &KafkaSettings,
    spec: &AdmissionSpec,
    name: &str,
    wanted: impl Fn(&Outcome) -> bool,
) -> Result<Figures, BenchError> {
    let inbox = Inbox::subscribe(kafka).await?;
    let mut intake = Intake::new(inbox, ledger, AllowList::new([], true), "bench".to_owned());
    let mut laps = Laps::default();
    let (mut decided, mut timed) = (0, 0);
    while decided < spec.requests {
        let mut turn = Laps::default();
        match turn.lap(intake.admit_once()).await {
            Ok(IntakeOutcome::Admitted(outcomes)) => {
                expect(&outcomes, &wanted)?;
                if decided > 0 {
                    timed += outcomes.len();
                    laps.extend(turn);
                }
                decided += outcomes.len();
            }
            Ok(IntakeOutcome::Idle) if decided > 0 => laps.extend(turn),
            Ok(IntakeOutcome::Halved) => {}
            // The coordinator of a new group is not available at once.
            Ok(IntakeOutcome::Idle) | Err(IntakeError::Kafka(kafka::Error::Unavailable(_))) if decided == 0 => {}
            Ok(IntakeOutcome::Idle | IntakeOutcome::Waiting) => {
                return Err(BenchError::Wrong("the ledger went away".to_owned()));
            }
            Err(error) => return Err(error.into()),
        }
    }
    intake.close().await;
    Ok(laps.figures(name, "request", timed as u64, &format!("batch of up to {BATCH}")))
}

#[derive(Debug, Clone)]
pub struct LatencySpec {
    pub requests: usize,
    /// Requests published per second.
    pub rate: u32,
}

/// Measures the time from a published request until its event can be read. Publishes at a steady rate while intake and
/// relay run, and reads the events.
pub async fn latency(
    database: &BenchDatabase,
    kafka: &KafkaSettings,
    spec: &LatencySpec,
    mut doing: impl FnMut(&str),
) -> Result<Figures, BenchError> {
    doing(&format!("publishing {} requests a second", spec.rate));
    let ledger = database.ledger().await?;
    let inbox = Inbox::subscribe(kafka).await?;
    let intake = Intake::new(inbox, ledger.clone(), AllowList::new([], true), "bench".to_owned());
    let relay = Relay::new(kafka, ledger.clone(), OwnershipBoundaries::shipped(), "bench".to_owned())?;
    let follower = Follower::at_end(kafka, &kafka.topics.lifecycle).await?;
    let (stop, stopped) = watch::channel(false);
    let mut loops: JoinSet<Result<(), BenchError>> = JoinSet::new();
    let also = stopped.clone();
    loops.spawn(async move { Ok(intake.run(also, Heartbeat::default()).await?) });
    loops.spawn(async move { Ok(relay.run(stopped, Heartbeat::default()).await?) });

    // Sends one request before timing starts, so that the consumer has joined its group and metadata is fetched.
    let outlet = Outlet::open(kafka)?;
    publish_one(&outlet, &kafka.topics.requests, 0).await?;
    while next_admitted(&follower).await? != request_id(0) {}
    let mut sent_at = HashMap::new();
    let mut laps = Laps::default();
    let mut received = 0;
    let mut sending: JoinSet<Result<(), BenchError>> = JoinSet::new();
    let mut tick = tokio::time::interval(Duration::from_secs(1) / spec.rate.max(1));
    while received < spec.requests {
        tokio::select! {
            _ = tick.tick(), if sent_at.len() < spec.requests => {
                let index = sent_at.len() + 1;
                sent_at.insert(request_id(index), Stopwatch::start());
                let (outlet, topic) = (outlet.clone(), kafka.topics.requests.clone());
                sending.spawn(async move { publish_one(&outlet, &topic, index).await });
            }
            admitted = next_admitted(&follower) => {
                let since: Option<&Stopwatch> = sent_at.get(&admitted?);
                laps.push(since.ok_or_else(|| BenchError::Wrong("an event of nobody's request".to_owned()))?.elapsed());
                received += 1;
            }
        }
    }
    stop.send_replace(true);
    while let Some(ended) = loops.join_next().await {
        ended.map_err(|panic| BenchError::Wrong(panic.to_string()))??;
    }
    ledger.close().await;
    let total = Duration::from_secs_f64(spec.requests as f64 / f64::from(spec.rate.max(1)));
    let name = format!("published to readable, {}/s", spec.rate);
    Ok(laps.figures_within(total, &name, "request", spec.requests as u64, "request to event"))
}

fn request_id(index: usize) -> String {
    format!("latency-{index:012}")
}

async fn publish_one(outlet: &Outlet, topic: &str, index: usize) -> Result<(), BenchError> {
    // Meanings are counted down from the top. No other measurement uses them, so each request is a new run.
    let value = request(&request_id(index), usize::MAX - index, 10);
    outlet.send(Record { topic, key: None, value: &value, headers: &[] }).await?;
    Ok(())
}

/// Reads events up to the next `request.admitted`, and returns the id of that event's request.
async fn next_admitted(follower: &Follower) -> Result<String, BenchError> {
    const PATIENCE: Duration = Duration::from_secs(20);
    loop {
        let record = follower.next(PATIENCE).await?;
        let record = record.ok_or_else(|| BenchError::Wrong(format!("no event within {PATIENCE:?}")))?;
        let event: RunLifecycleEvent =
            serde_json::from_slice(&record.value).map_err(|error| BenchError::Wrong(error.to_string()))?;
        if event.event_type == EventType::RequestAdmitted {
            return event.request_id.ok_or_else(|| BenchError::Wrong("an admission without a request".to_owned()));
        }
    }
}
