//! Reads the registry's topic, and applies what it says about our bundles to the ledger.
//!
//! Guarantees: an offset moves only after the ledger has committed what an event led to, so that a replay of
//! the topic changes nothing; while the ledger is away nothing is settled. The topic is the registry's: a record
//! that is no event, or no event about a bundle of ours, is counted and passed over, and never holds up the
//! ones behind it. Never: produces; makes a dead letter of a record.

use crate::adapters::kafka::{self, Inbound, Inbox};
use crate::adapters::ledger::{self, Ledger};
use crate::domain::contract::{RegistryEvent, Rejection};
use crate::domain::harmless::line;
use crate::domain::run::RegistryReply;
use crate::failpoints::failpoint;
use crate::guard::{guarded, guarded_future};
use crate::telemetry::metrics;
use crate::worker::backoff::Backoff;
use crate::worker::liveness::Heartbeat;
use crate::worker::placement::{Placer, Placing};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::sync::watch;
use tracing::{error, info, warn};

#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error(transparent)]
    Kafka(#[from] kafka::Error),
    /// Only a failpoint returns this error: while the ledger is away, the outcome is `Waiting`.
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryOutcome {
    Idle,
    /// One reply a record. The ledger has committed them, and the offsets of their records are stored.
    Applied(Vec<RegistryReply>),
    /// The ledger is away; the records in hand are kept for the next turn.
    Waiting,
}

pub struct RegistryListener {
    inbox: Inbox,
    ledger: Ledger,
    worker: String,
    in_hand: VecDeque<Inbound>,
    placer: Placer,
}

/// Most records that one turn takes; a registry sends few.
const BATCH: usize = 100;
const PATIENCE: Duration = Duration::from_millis(500);

impl RegistryListener {
    pub fn new(inbox: Inbox, ledger: Ledger, worker: String) -> Self {
        let placer = Placer::new(ledger.clone(), worker.clone());
        Self { inbox, ledger, worker, in_hand: VecDeque::new(), placer }
    }

    /// Listens until `shutdown` turns true, then commits the settled offsets and leaves the consumer group.
    pub async fn run(mut self, shutdown: watch::Receiver<bool>, heartbeat: Heartbeat) -> Result<(), RegistryError> {
        let mut backoff = Backoff::between(Duration::from_millis(200), Duration::from_secs(10));
        let ended = loop {
            if *shutdown.borrow() {
                break Ok(());
            }
            heartbeat.turned();
            match self.listen_once().await {
                Ok(RegistryOutcome::Waiting) => self.inbox.idle(backoff.next_delay()).await,
                Ok(RegistryOutcome::Idle | RegistryOutcome::Applied(_)) => backoff.reset(),
                Err(RegistryError::Kafka(kafka::Error::Unavailable(why))) => {
                    warn!(why, "waiting for the registry's topic");
                    self.inbox.idle(backoff.next_delay()).await;
                }
                Err(error) => break Err(error),
            }
        };
        self.inbox.close().await;
        ended
    }

    /// Takes records, applies each in a transaction of its own, then settles their offsets.
    pub async fn listen_once(&mut self) -> Result<RegistryOutcome, RegistryError> {
        let placing = Box::pin(self.placer.follow(&mut self.inbox)).await?;
        if let Some(outcome) = self.placed(placing) {
            return Ok(outcome);
        }
        if self.in_hand.is_empty() {
            self.in_hand = self.inbox.next_batch(BATCH, PATIENCE).await?.into();
        }
        if self.in_hand.is_empty() {
            let placing = Box::pin(self.placer.rest(&mut self.inbox)).await?;
            return Ok(self.placed(placing).unwrap_or(RegistryOutcome::Idle));
        }
        let (mut done, mut applied) = (Vec::new(), Vec::new());
        while let Some(record) = self.in_hand.pop_front() {
            match apply(&self.ledger, &record, &self.worker).await {
                Ok(what) => {
                    metrics::REGISTRY_EVENTS.count(what);
                    let (partition, offset, what_name) = (record.partition, record.offset, <&str>::from(what));
                    info!(kafka.partition = partition, kafka.offset = offset, what = what_name, "the registry spoke");
                    applied.push(what);
                    done.push(record);
                }
                // After a COMMIT without a reply the same event is applied again: the ledger recognises its id.
                Err(error) => {
                    warn!(fault = %error, "nothing more is settled until the ledger answers");
                    self.in_hand.push_front(record);
                    break;
                }
            }
        }
        if !done.is_empty() {
            failpoint("registry.heard").map_err(ledger::Error::from)?;
            let mut next = BTreeMap::new();
            for record in &done {
                next.insert(record.partition, record.offset + 1);
            }
            // If the position is not stored, these events may be applied again, which changes nothing in the ledger.
            if let Err(error) = Box::pin(self.placer.pass(&mut self.inbox, &next)).await {
                warn!(fault = %error, "how far the registry's topic was read is not stored in the ledger");
            } else {
                self.inbox.settle(&done)?;
            }
        }
        Ok(match (self.in_hand.is_empty(), applied.is_empty()) {
            (false, _) => RegistryOutcome::Waiting,
            (true, true) => RegistryOutcome::Idle,
            (true, false) => RegistryOutcome::Applied(applied),
        })
    }

    /// Returns how the turn ends, if partitions could not be placed or are placed anew; `None` if the turn goes on.
    fn placed(&mut self, placing: Placing) -> Option<RegistryOutcome> {
        match placing {
            Placing::Done => None,
            Placing::Anew => {
                self.in_hand.clear();
                Some(RegistryOutcome::Idle)
            }
            Placing::Waiting(error) => {
                warn!(fault = %error, "the registry's topic is not read until the ledger answers");
                Some(RegistryOutcome::Waiting)
            }
        }
    }

    /// Commits the settled offsets and leaves the consumer group.
    pub async fn close(self) {
        self.inbox.close().await;
    }
}

/// Applies one record. It fails only if the ledger is away: then the same record must be applied again. A record that
/// is no event, or that the ledger refuses, is logged and passed over.
async fn apply(ledger: &Ledger, record: &Inbound, worker: &str) -> Result<RegistryReply, ledger::Error> {
    let event = match read(record) {
        Ok(event) => event,
        Err(why) => {
            warn!(
                kafka.partition = record.partition,
                kafka.offset = record.offset,
                fault = why,
                "no event of a registry"
            );
            return Ok(RegistryReply::Malformed);
        }
    };
    let Some(verdict) = event.verdict() else { return Ok(RegistryReply::Other) };
    let refused = |why: String| {
        error!(registry.event = event.registry_event_id, why, "the ledger refuses an event of the registry");
        Ok(RegistryReply::Refused)
    };
    match guarded_future(ledger.apply_registry_reply(&event, verdict, worker)).await {
        Ok(Ok(reply)) => Ok(reply),
        Err(panicked) => refused(panicked.to_string()),
        Ok(Err(ledger::Error::Refused(why) | ledger::Error::Unfit(why))) => refused(why),
        Ok(Err(
            error @ (ledger::Error::Unavailable(_)
            | ledger::Error::TimedOut(_)
            | ledger::Error::CommitUnknown(_)
            | ledger::Error::Denied(_)),
        )) => Err(error),
    }
}

fn read(record: &Inbound) -> Result<RegistryEvent, String> {
    if let Some(cut) = &record.cut {
        return Err(cut.rejection.to_string());
    }
    let event = guarded(|| RegistryEvent::read(&record.value)).map_err(|panicked| panicked.to_string())?;
    event.map_err(|error| line(&error.to_string(), Rejection::MESSAGE_CAP))
}
