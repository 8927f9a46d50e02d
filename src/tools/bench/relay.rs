//! Measures how fast the relay empties the outbox.

use super::database::{BenchDatabase, BenchError};
use super::load::{admit_all, request};
use super::measure::{Figures, Laps};
use crate::adapters::kafka::{KafkaSettings, Outlet, Record};
use crate::adapters::ledger::Ledger;
use crate::domain::contract::OwnershipBoundaries;
use crate::worker::relay::{Relay, RelayOutcome};
use futures::future::try_join_all;

#[derive(Debug, Clone)]
pub struct RelaySpec {
    pub runs: usize,
    /// Events of each run. The relay sends the events of one run in order.
    pub events: usize,
}

/// Measures the relay with an outbox of admissions and duplicates. Then sends as many records with the producer alone,
/// as the ceiling.
pub async fn relay(
    database: &BenchDatabase,
    kafka: &KafkaSettings,
    spec: &RelaySpec,
    mut doing: impl FnMut(&str),
) -> Result<Vec<Figures>, BenchError> {
    let total = spec.runs * spec.events;
    doing(&format!("filling the outbox with {total} events"));
    let ledger = database.ledger().await?;
    // The first record admits the run. Each later record joins that run, which also emits an event.
    let values = (0..total).map(|index| request(&format!("bench-{index:012}"), index % spec.runs, 1));
    admit_all(&ledger, values, spec.runs).await?;
    ledger.close().await;
    doing("relaying");
    let relayed = database.costing(|ledger| drain(ledger, kafka, total, spec.runs)).await?;
    doing("producing as many records without a ledger");
    Ok(vec![relayed, produce(kafka, total, spec.runs).await?])
}

async fn drain(ledger: Ledger, kafka: &KafkaSettings, total: usize, runs: usize) -> Result<Figures, BenchError> {
    let mut relay = Relay::new(kafka, ledger, OwnershipBoundaries::shipped(), "bench".to_owned())?;
    let mut laps = Laps::default();
    let mut sent = 0;
    while sent < total {
        match laps.lap(relay.relay_once()).await? {
            RelayOutcome::Sent(count) => sent += count,
            RelayOutcome::Idle => return Err(BenchError::Wrong(format!("{sent} of {total} events were there"))),
        }
    }
    relay.close().await;
    Ok(laps.figures(&format!("events of {runs} runs relayed"), "event", total as u64, "turn of the relay"))
}

/// Sends records with the producer alone, with as many records in flight as there are runs.
async fn produce(kafka: &KafkaSettings, total: usize, runs: usize) -> Result<Figures, BenchError> {
    let outlet = Outlet::open(kafka)?;
    let value = request("bench-000000000000", 0, 1);
    let topic = &kafka.topics.lifecycle;
    let mut laps = Laps::default();
    for _ in 0..total.div_ceil(runs) {
        let turn = (0..runs).map(|_| outlet.send(Record { topic, key: None, value: &value, headers: &[] }));
        laps.lap(try_join_all(turn)).await?;
    }
    outlet.close().await;
    Ok(laps.figures("ceiling: the producer alone", "event", total as u64, &format!("turn of {runs}")))
}
