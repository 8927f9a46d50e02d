//! The relay: sends what the outbox holds, in order per run, at least once, with identical values.
//!
//! Guarantees: a record is marked as sent only by its own delivery report; of one run at most one record
//! is unacknowledged. Never: makes an event; pages by a global id.

use crate::adapters::kafka::{self, KafkaSettings, Outlet, Record, TopicNames};
use crate::adapters::ledger::{self, Coordinates, Ledger, OutboxRow, Sent, Shard};
use crate::clock::Stopwatch;
use crate::domain::contract::OwnershipBoundaries;
use crate::domain::run::OutboxKind;
use crate::domain::trace_context::TraceContext;
use crate::failpoints::failpoint;
use crate::telemetry::{OpenSpan, Sending, metrics, send_span};
use crate::worker::backoff::Backoff;
use crate::worker::liveness::Heartbeat;
use futures::FutureExt as _;
use futures::future::join_all;
use std::borrow::Cow;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::watch;
use tracing::{info, warn};

#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    #[error(transparent)]
    Kafka(#[from] kafka::Error),
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    /// The boundaries document does not give this output to Model Factory.
    #[error("OWNERSHIP_BOUNDARY_VIOLATION: the boundaries document does not give {0} to mf")]
    Ownership(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayOutcome {
    Idle,
    /// Number of records that the broker acknowledged and the ledger marked as sent.
    Sent(usize),
}

pub struct Relay {
    settings: KafkaSettings,
    outlet: Outlet,
    ledger: Ledger,
    boundaries: OwnershipBoundaries,
    name: String,
    shards: Vec<Shard>,
    /// Time since the shards were last taken or renewed; `None` if the next turn must take them.
    shards_at: Option<Stopwatch>,
    /// Time since the topic of lineage refused a record; `None` while lineage is sent.
    lineage_rests: Option<Stopwatch>,
}

/// Most records in flight: so many of the outbox, and as many of lineage.
const IN_FLIGHT: i64 = 500;
/// Most turns of a relay after `shutdown`; the last events of the runs need fewer.
const LAST_TURNS: u32 = 16;
/// How long the relay sends no lineage after the topic of lineage refused a record.
const LINEAGE_RESTS: Duration = Duration::from_mins(1);
/// A third of the lease on shards, so that two renewals may fail.
const RENEW_EVERY: Duration = Duration::from_secs(5);

impl Relay {
    /// `name` owns the leases on shards; it must be unique among relays.
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
        })
    }

    /// Sends until `shutdown` turns true, then sends what the other loops left in their last turns, in at most
    /// `LAST_TURNS` turns, and releases its shards.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>, heartbeat: Heartbeat) -> Result<(), RelayError> {
        let mut pace = RelayPace::default();
        while !*shutdown.borrow() {
            heartbeat.turned();
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
                        ledger::Error::Unavailable(_)
                        | ledger::Error::TimedOut(_)
                        | ledger::Error::CommitUnknown(_)
                        | ledger::Error::Denied(_),
                    ),
                ) => warn!(fault = %error, "the relay waits for the ledger"),
                Err(
                    error @ (RelayError::Ledger(ledger::Error::Refused(_) | ledger::Error::Unfit(_))
                    | RelayError::Ownership(_)),
                ) => return Err(error),
            }
            if !pause.is_zero() {
                let _ = tokio::time::timeout(pause, shutdown.wait_for(|stop| *stop)).await;
            }
        }
        if pace.well {
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

    /// Sends the first unsent record of every stream (such as a run, whose events must stay in order), and marks the
    /// acknowledged ones as sent.
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
            // After one poll the client library has all records, and none is acknowledged yet.
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
                    // The topic of lineage may be missing or forbidden; nothing else may wait for it.
                    warn!(fault = %error, "lineage events wait for a minute");
                    self.lineage_rests = Some(Stopwatch::start());
                }
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        // Acknowledged records are marked even if others failed, so that they are not sent again.
        let marked = if sent.is_empty() { 0 } else { self.ledger.mark_sent(&self.name, &sent).await? };
        if marked < sent.len() {
            // Another relay holds some of these shards by now: the next turn takes shards before it sends.
            self.shards_at = None;
        }
        match first_error {
            // A record that the broker refuses must not slow the others down.
            Some(error) if marked > 0 => {
                warn!(fault = %error, marked, "some records wait");
                Ok(RelayOutcome::Sent(marked))
            }
            Some(error) => Err(error.into()),
            // Only lineage was there to send, and its topic refused it.
            None if sent.is_empty() && self.lineage_rests.is_some() => Ok(RelayOutcome::Idle),
            None => Ok(RelayOutcome::Sent(marked)),
        }
    }

    pub async fn drain(&mut self) -> Result<usize, RelayError> {
        let mut total = 0;
        loop {
            match self.relay_once().await? {
                RelayOutcome::Idle => return Ok(total),
                RelayOutcome::Sent(count) => total += count,
            }
        }
    }

    /// Waits for records in flight, and releases the shards.
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

    fn check_ownership(&self, kind: OutboxKind) -> Result<(), RelayError> {
        match kind {
            OutboxKind::Publication if !self.boundaries.gives_to_mf("bundle_publication") => {
                Err(RelayError::Ownership("bundle_publication"))
            }
            // The document lists outputs. Lineage describes the work and is none, so the document does not list it.
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
        let coordinates = Coordinates { topic: topic.to_owned(), partition, offset };
        Ok(Some(Sent { id: row.id, kind: row.kind, shard, coordinates }))
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

type Headers<'row> = Cow<'row, [(String, Vec<u8>)]>;

/// The span of a record that is sent, and the headers of that record. If the span is recorded, the header `traceparent`
/// names it, so that it is the parent of every consumer's span.
fn traced<'row>(row: &'row OutboxRow, topic: &str) -> (Option<OpenSpan>, Headers<'row>) {
    let header = |name: &str| {
        let (_, value) = row.headers.iter().find(|(header, _)| header == name)?;
        std::str::from_utf8(value).ok()
    };
    let from = TraceContext::read(header("traceparent"), header("tracestate"));
    let run_id = header("ce_subject");
    let record = Sending { topic, key: row.key.as_deref(), bytes: row.value.len(), id: header("ce_id"), run_id };
    let span = send_span(&record, from.as_ref());
    let own = span.as_ref().filter(|span| span.is_recorded()).and_then(OpenSpan::context);
    let Some(own) = own else { return (span, Cow::Borrowed(&row.headers)) };
    let mut headers = row.headers.clone();
    headers.retain(|(name, _)| name != "traceparent");
    headers.push(("traceparent".to_owned(), own.traceparent().into_bytes()));
    (span, Cow::Owned(headers))
}

/// How long the relay waits after a turn: not at all if it sent something, from 20 ms up to `IDLE_CAP` if there was
/// nothing to send, from 200 ms up to 10 s after errors.
struct RelayPace {
    idle: Backoff,
    trouble: Backoff,
    /// Whether the last turn succeeded.
    well: bool,
}

/// The longest wait of a relay with nothing to do, and so the most that it adds to an event's latency.
const IDLE_CAP: Duration = Duration::from_millis(500);

impl Default for RelayPace {
    fn default() -> Self {
        Self {
            idle: Backoff::between(Duration::from_millis(20), IDLE_CAP),
            trouble: Backoff::between(Duration::from_millis(200), Duration::from_secs(10)),
            well: true,
        }
    }
}

impl RelayPace {
    fn after(&mut self, turn: &Result<RelayOutcome, RelayError>) -> Duration {
        self.well = turn.is_ok();
        match turn {
            Ok(RelayOutcome::Sent(_)) => {
                *self = Self::default();
                Duration::ZERO
            }
            Ok(RelayOutcome::Idle) => self.idle.next_delay(),
            Err(_) => self.trouble.next_delay(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_relay_asks_less_and_less_often_and_one_with_work_never_waits() {
        let mut pace = RelayPace::default();
        let first = pace.after(&Ok(RelayOutcome::Idle));
        assert!(first <= Duration::from_millis(40), "{first:?}");
        let waits: Vec<Duration> = (0..50).map(|_| pace.after(&Ok(RelayOutcome::Idle))).collect();
        assert!(waits.iter().all(|wait| *wait <= IDLE_CAP), "{waits:?}");
        // Jitter takes up to half.
        assert!(waits[20..].iter().all(|wait| *wait >= IDLE_CAP / 3), "{waits:?}");
        assert_eq!(pace.after(&Ok(RelayOutcome::Sent(1))), Duration::ZERO);
        assert!(pace.after(&Ok(RelayOutcome::Idle)) <= Duration::from_millis(40), "it starts over");
    }

    #[test]
    fn a_relay_in_trouble_waits_longer_than_an_idle_one() {
        let mut pace = RelayPace::default();
        let error = || Err(RelayError::Kafka(kafka::Error::Unavailable("away".to_owned())));
        let waits: Vec<Duration> = (0..50).map(|_| pace.after(&error())).collect();
        assert!(waits[20..].iter().all(|wait| *wait > IDLE_CAP && *wait <= Duration::from_secs(10)), "{waits:?}");
    }
}
