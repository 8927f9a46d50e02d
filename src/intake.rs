//! Intake: takes ownership of records durably, and only then settles their offsets.
//!
//! Guarantees: an offset moves only after the ledger committed what became of its record; a bad record
//! never holds up the ones behind it; while the ledger is away nothing is settled and nothing refused.
//! Never: trains, produces.

use crate::contract::{self, AllowList};
use crate::faults::reach;
use crate::kafka::{self, Inbound, Inbox};
use crate::ledger::{self, Arrival, Coordinates, Ledger, Outcome};
use crate::retry::Backoff;
use std::time::Duration;
use tokio::sync::watch;
use tracing::{info, warn};

/// Why intake gave up.
#[derive(Debug, thiserror::Error)]
pub enum IntakeFault {
    /// Kafka needs somebody.
    #[error(transparent)]
    Kafka(#[from] kafka::Fault),
    /// The ledger needs somebody.
    #[error(transparent)]
    Ledger(#[from] ledger::Fault),
}

/// What one turn of the loop did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IntakeOutcome {
    /// No record came.
    Idle,
    /// These outcomes are durable, and their offsets stored.
    Admitted(Vec<Outcome>),
    /// The ledger is away; the batch is kept and will be brought again.
    Waiting,
}

/// The loop and the batch that it has in hand.
pub struct Intake {
    inbox: Inbox,
    ledger: Ledger,
    allow: AllowList,
    worker: String,
    in_hand: Vec<Inbound>,
}

const BATCH: usize = 1_000;
const PATIENCE: Duration = Duration::from_millis(500);

impl Intake {
    /// An intake over these adapters.
    pub fn new(inbox: Inbox, ledger: Ledger, allow: AllowList, worker: String) -> Self {
        Self { inbox, ledger, allow, worker, in_hand: Vec::new() }
    }

    /// Works until `shutdown` turns true, then leaves the group with what is settled.
    pub async fn run(mut self, shutdown: watch::Receiver<bool>) -> Result<(), IntakeFault> {
        let mut backoff = Backoff::between(Duration::from_millis(200), Duration::from_secs(10));
        let mut waiting = false;
        let ended = loop {
            if *shutdown.borrow() {
                break Ok(());
            }
            match self.admit_once().await {
                Ok(IntakeOutcome::Waiting) => {
                    waiting = true;
                    self.inbox.idle(backoff.next_delay()).await;
                }
                Ok(IntakeOutcome::Idle | IntakeOutcome::Admitted(_)) => {
                    if std::mem::take(&mut waiting) {
                        info!("the ledger is back");
                    }
                    backoff.reset();
                }
                Err(IntakeFault::Kafka(kafka::Fault::Unavailable(why))) => {
                    warn!(why, "waiting for Kafka");
                    self.inbox.idle(backoff.next_delay()).await;
                }
                Err(fault) => break Err(fault),
            }
        };
        self.inbox.close().await;
        ended
    }

    /// Takes a batch, decides on every record in one transaction, then settles the offsets.
    pub async fn admit_once(&mut self) -> Result<IntakeOutcome, IntakeFault> {
        if self.in_hand.is_empty() {
            self.in_hand = self.inbox.next_batch(BATCH, PATIENCE).await?;
        }
        if self.in_hand.is_empty() {
            return Ok(IntakeOutcome::Idle);
        }
        reach("intake.polled").map_err(ledger::Fault::from)?;
        let arrivals: Vec<Arrival> = self.in_hand.iter().map(|record| arrival(record, &self.allow)).collect();
        let outcomes = match self.ledger.admit(&arrivals, &self.worker).await {
            Ok(outcomes) => outcomes,
            // An unknown commit is resolved by bringing the same batch again: what was decided stays so.
            Err(fault @ (ledger::Fault::Unavailable(_) | ledger::Fault::CommitUnknown(_))) => {
                warn!(%fault, records = arrivals.len(), "nothing is settled until the ledger answers");
                return Ok(IntakeOutcome::Waiting);
            }
            Err(fault @ ledger::Fault::Refused(_)) => return Err(fault.into()),
        };
        reach("intake.decided").map_err(ledger::Fault::from)?;
        self.inbox.settle(&self.in_hand)?;
        reach("intake.settled").map_err(ledger::Fault::from)?;
        for (record, outcome) in self.in_hand.drain(..).zip(&outcomes) {
            info!(kafka.partition = record.partition, kafka.offset = record.offset, ?outcome, "admitted");
        }
        Ok(IntakeOutcome::Admitted(outcomes))
    }

    /// Commits what is settled and leaves the group.
    pub async fn close(self) {
        self.inbox.close().await;
    }
}

fn arrival(record: &Inbound, allow: &AllowList) -> Arrival {
    Arrival {
        coordinates: Coordinates { topic: record.topic.clone(), partition: record.partition, offset: record.offset },
        key: record.key.clone(),
        value: record.value.clone(),
        traceparent: record.headers.get("traceparent").cloned(),
        tracestate: record.headers.get("tracestate").cloned(),
        parsed: contract::parse(&record.value, allow),
    }
}
