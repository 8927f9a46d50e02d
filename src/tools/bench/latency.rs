//! The time from a published request to its readable `request.admitted`.

use super::database::{BenchDatabase, BenchError};
use super::load::request;
use super::measure::{Figures, Laps};
use crate::adapters::kafka::{Follower, Inbox, KafkaSettings, Outlet, Record};
use crate::clock::Stopwatch;
use crate::domain::contract::{AllowList, EventType, OwnershipBoundaries, RunLifecycleEvent};
use crate::worker::intake::Intake;
use crate::worker::liveness::Heartbeat;
use crate::worker::relay::Relay;
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

#[derive(Debug, Clone)]
pub struct LatencySpec {
    pub requests: usize,
    /// Requests a second.
    pub rate: u32,
}

const PATIENCE: Duration = Duration::from_secs(20);

/// Publishes at a steady rate beside intake and relay, and reads the events.
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

    // One request before the time counts: the group has to be joined and the topics' metadata fetched.
    let outlet = Outlet::open(kafka)?;
    publish(&outlet, &kafka.topics.requests, 0).await?;
    wait_for(&follower, 0).await?;

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
                sending.spawn(async move { publish(&outlet, &topic, index).await });
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

async fn publish(outlet: &Outlet, topic: &str, index: usize) -> Result<(), BenchError> {
    // Meanings that no other measurement uses.
    let value = request(&request_id(index), usize::MAX - index, 10);
    outlet.send(Record { topic, key: None, value: &value, headers: &[] }).await?;
    Ok(())
}

/// The request of the next `request.admitted`.
async fn next_admitted(follower: &Follower) -> Result<String, BenchError> {
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

async fn wait_for(follower: &Follower, index: usize) -> Result<(), BenchError> {
    while next_admitted(follower).await? != request_id(index) {}
    Ok(())
}
