//! How fast the worker's own intake decides on records, from a topic that is already full.

use super::database::{BenchDatabase, BenchError};
use super::load::{expect, request};
use super::measure::{Figures, Laps};
use crate::adapters::kafka::{self, Inbox, KafkaSettings, Outlet, Record};
use crate::adapters::ledger::Ledger;
use crate::domain::contract::AllowList;
use crate::domain::run::Outcome;
use crate::worker::intake::{BATCH, Intake, IntakeError, IntakeOutcome};
use futures::future::try_join_all;

#[derive(Debug, Clone)]
pub struct AdmissionSpec {
    pub requests: usize,
    pub tenants: usize,
}

/// Measures new requests, the ceiling, the same records again, and the same requests in new records. The time includes
/// fetching, parsing and schema validation.
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

/// Runs an intake until it has decided on every published record. The time begins with the second batch: the group is
/// joined before the first one.
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
            // A new group needs a moment to find its coordinator.
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
