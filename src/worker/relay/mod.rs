//! The relay: sends what the outbox holds, in order per run, at least once, with identical values.
//!
//! Guarantees: a record is marked as sent only by its own delivery report; of one run at most one record
//! is unacknowledged. Never: makes an event; pages by a global id.

mod outcome;
mod pace;
mod trace;

pub use outcome::{RelayError, RelayOutcome};

use crate::adapters::kafka::{self, KafkaSettings, Outlet, Record, TopicNames};
use crate::adapters::ledger::{self, Coordinates, Ledger, OutboxRow, Sent, Shard};
use crate::clock::Stopwatch;
use crate::domain::contract::OwnershipBoundaries;
use crate::domain::run::OutboxKind;
use crate::failpoints::failpoint;
use crate::telemetry::metrics;
use crate::worker::liveness::Heartbeat;
use futures::FutureExt as _;
use futures::future::join_all;
use pace::RelayPace;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::watch;
use trace::traced;
use tracing::{info, warn};

pub struct Relay {
    settings: KafkaSettings,
    outlet: Outlet,
    ledger: Ledger,
    boundaries: OwnershipBoundaries,
    name: String,
    shards: Vec<Shard>,
    /// When the shards were last taken or renewed.
    shards_at: Option<Stopwatch>,
    /// Since when lineage is left alone.
    lineage_rests: Option<Stopwatch>,
    heartbeat: Heartbeat,
}

/// Records in flight at the most, of the outbox and of lineage each.
const IN_FLIGHT: i64 = 500;
/// Turns of a relay that ends; the last events of the runs need fewer.
const LAST_TURNS: u32 = 16;
/// How long lineage is left alone after its topic refused a record.
const LINEAGE_RESTS: Duration = Duration::from_mins(1);
/// A third of the shards' lease.
const RENEW_EVERY: Duration = Duration::from_secs(5);

impl Relay {
    /// `name` is unique among relays.
    pub fn new(
        settings: &KafkaSettings,
        ledger: Ledger,
        boundaries: OwnershipBoundaries,
        name: String,
    ) -> Result<Self, RelayError> {
        let outlet = Outlet::open(settings)?;
        Ok(Self {
            settings: settings.clone(),
            outlet,
            ledger,
            boundaries,
            name,
            shards: Vec::new(),
            shards_at: None,
            lineage_rests: None,
            heartbeat: Heartbeat::default(),
        })
    }

    #[must_use]
    pub fn watched(self, heartbeat: Heartbeat) -> Self {
        Self { heartbeat, ..self }
    }

    /// Sends until `shutdown` turns true, then what the other loops left in their last turns, and releases its shards.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>) -> Result<(), RelayError> {
        let mut pace = RelayPace::default();
        while !*shutdown.borrow() {
            self.heartbeat.turned();
            let turn = self.relay_once().await;
            let pause = pace.after(&turn);
            match turn {
                Ok(RelayOutcome::Sent(_) | RelayOutcome::Idle) => {}
                Err(RelayError::Kafka(kafka::Error::Fatal(why))) => {
                    warn!(why, "making the producer again");
                    metrics::PRODUCERS_RECREATED.count(());
                    let broken = std::mem::replace(&mut self.outlet, Outlet::open(&self.settings)?);
                    broken.close().await;
                }
                Err(error @ RelayError::Kafka(_)) => warn!(fault = %error, "the outbox waits for Kafka"),
                Err(
                    error @ RelayError::Ledger(
                        ledger::Error::Unavailable(_) | ledger::Error::CommitUnknown(_) | ledger::Error::Denied(_),
                    ),
                ) => warn!(fault = %error, "the relay waits for the ledger"),
                Err(error @ (RelayError::Ledger(ledger::Error::Refused(_)) | RelayError::Ownership(_))) => {
                    return Err(error);
                }
            }
            if !pause.is_zero() {
                let _ = tokio::time::timeout(pause, shutdown.wait_for(|stop| *stop)).await;
            }
        }
        if pace.is_well() {
            for _ in 0..LAST_TURNS {
                match self.relay_once().await {
                    Ok(RelayOutcome::Sent(_)) => {}
                    Ok(RelayOutcome::Idle) => break,
                    Err(error) => {
                        info!(fault = %error, "the rest of the outbox is another's to send");
                        break;
                    }
                }
            }
        }
        self.close().await;
        Ok(())
    }

    /// Sends the first unsent record of every stream, and marks what was acknowledged.
    pub async fn relay_once(&mut self) -> Result<RelayOutcome, RelayError> {
        self.hold_shards().await?;
        let mut rows = self.ledger.unsent(&self.shards, IN_FLIGHT, i64::from(self.settings.max_value_bytes)).await?;
        if self.lineage_rests.as_ref().is_none_or(|since| since.elapsed() >= LINEAGE_RESTS) {
            self.lineage_rests = None;
            rows.extend(self.ledger.unsent_lineage(&self.shards, IN_FLIGHT).await?);
        }
        if rows.is_empty() {
            return Ok(RelayOutcome::Idle);
        }
        for row in &rows {
            self.check_ownership(row.kind)?;
        }
        failpoint("relay.read").map_err(ledger::Error::from)?;
        let reports = {
            let mut sending = pin!(join_all(rows.iter().map(|row| self.send(row))));
            // Polled once, everything is with the client library and nothing is acknowledged.
            let at_once = (&mut sending).now_or_never();
            failpoint("relay.produced").map_err(ledger::Error::from)?;
            match at_once {
                Some(reports) => reports,
                None => sending.await,
            }
        };
        failpoint("relay.acknowledged").map_err(ledger::Error::from)?;
        let mut sent = Vec::with_capacity(rows.len());
        let mut first_error = None;
        for (row, report) in rows.iter().zip(reports) {
            match report {
                Ok(Some(acknowledged)) => sent.push(acknowledged),
                Ok(None) => {}
                Err(error) if row.kind == OutboxKind::Lineage && !matches!(error, kafka::Error::Fatal(_)) => {
                    self.rest_from_lineage(&error);
                }
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        // What was acknowledged is marked even where others failed: it must not be sent again for them.
        let marked = if sent.is_empty() { 0 } else { self.ledger.mark_sent(&self.name, &sent).await? };
        if marked < sent.len() {
            // Another relay holds these shards by now: take them again before anything else is sent.
            self.shards_at = None;
        }
        match first_error {
            // A record that the broker refuses must not slow the others down.
            Some(error) if marked > 0 => {
                warn!(fault = %error, marked, "some records wait");
                Ok(RelayOutcome::Sent(marked))
            }
            Some(error) => Err(error.into()),
            // Only lineage was there to send, and it rests.
            None if sent.is_empty() && self.lineage_rests.is_some() => Ok(RelayOutcome::Idle),
            None => Ok(RelayOutcome::Sent(marked)),
        }
    }

    /// Sends until nothing is left.
    pub async fn drain(&mut self) -> Result<usize, RelayError> {
        let mut total = 0;
        loop {
            match self.relay_once().await? {
                RelayOutcome::Idle => return Ok(total),
                RelayOutcome::Sent(count) => total += count,
            }
        }
    }

    /// Waits for what is in flight and gives the shards back.
    pub async fn close(self) {
        self.outlet.close().await;
        if let Err(error) = self.ledger.release_shards(&self.name).await {
            info!(fault = %error, "the shards stay leased until they expire");
        }
    }

    async fn hold_shards(&mut self) -> Result<(), RelayError> {
        if self.shards_at.as_ref().is_none_or(|at| at.elapsed() >= RENEW_EVERY) {
            let taken_at = Stopwatch::start();
            self.shards = self.ledger.take_shards(&self.name).await?;
            self.shards_at = Some(taken_at);
        }
        Ok(())
    }

    /// Leaves lineage alone for a while: its topic may be gone or closed to us, and nothing else may wait for it.
    fn rest_from_lineage(&mut self, error: &kafka::Error) {
        warn!(fault = %error, "lineage events wait for a minute");
        self.lineage_rests = Some(Stopwatch::start());
    }

    fn check_ownership(&self, kind: OutboxKind) -> Result<(), RelayError> {
        match kind {
            OutboxKind::Publication if !self.boundaries.gives_to_mf("bundle_publication") => {
                Err(RelayError::Ownership("bundle_publication"))
            }
            // Lineage describes the work and is no output of it: the document gives it to nobody.
            OutboxKind::Publication | OutboxKind::Lifecycle | OutboxKind::DeadLetter | OutboxKind::Lineage => Ok(()),
        }
    }

    async fn send(&self, row: &OutboxRow) -> Result<Option<Sent>, kafka::Error> {
        let Some(&shard) = self.shards.iter().find(|shard| shard.shard == row.shard) else { return Ok(None) };
        let topic = topic_of(row.kind, &self.settings.topics);
        let (span, headers) = traced(row, topic);
        let record = Record { topic, key: row.key.as_deref(), value: &row.value, headers: &headers };
        let sent = self.outlet.send(record).await;
        if let Some(span) = span {
            match &sent {
                Ok((partition, offset)) => {
                    span.record_attribute("messaging.destination.partition.id", partition.to_string());
                    span.record_attribute("messaging.kafka.offset", *offset);
                }
                Err(error) => span.record_failure(error.kind()),
            }
        }
        let (partition, offset) = sent?;
        let kind = row.kind;
        Ok(Some(Sent {
            id: row.id,
            kind,
            shard,
            coordinates: Coordinates { topic: topic.to_owned(), partition, offset },
        }))
    }
}

fn topic_of(kind: OutboxKind, topics: &TopicNames) -> &str {
    match kind {
        OutboxKind::Lifecycle => &topics.lifecycle,
        OutboxKind::Publication => &topics.publications,
        OutboxKind::DeadLetter => &topics.dead_letters,
        OutboxKind::Lineage => &topics.lineage,
    }
}
