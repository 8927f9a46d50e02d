//! Intake: takes ownership of records durably, and only then settles their offsets.
//!
//! Guarantees: an offset moves only after the ledger committed what became of its record; a bad record
//! never holds up the ones behind it; while the ledger is away nothing is settled and nothing refused.
//! Never: trains, produces.
//!
//! While the ledger decides on one batch, the next one is taken and parsed. A record that was decided on before, as in
//! a replay of the whole topic, is not parsed again and gets no span.

mod screening;
mod spans;

pub use screening::{BatchScreening, Screening};

use crate::adapters::kafka::{self, Inbound, Inbox};
use crate::adapters::ledger::{self, Arrival, Coordinates, Ledger, SourceRecord};
use crate::domain::run::Outcome;
use crate::domain::trace_context::TraceContext;
use crate::failpoints::failpoint;
use crate::telemetry::OpenSpan;
use crate::worker::backoff::Backoff;
use crate::worker::liveness::Heartbeat;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tracing::{info, warn};

#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    #[error(transparent)]
    Kafka(#[from] kafka::Error),
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IntakeOutcome {
    Idle,
    /// One outcome a record. The ledger has committed them, and the offsets of their records are stored.
    Admitted(Vec<Outcome>),
    /// The ledger is away; the batch is kept for the next turn.
    Waiting,
}

pub struct Intake {
    inbox: Inbox,
    ledger: Ledger,
    screening: Arc<Screening>,
    worker: String,
    in_hand: Batch,
    next: Batch,
}

/// Records that are decided on together. A record that the ledger decided on before has its outcome in `recalled`; the
/// others are parsed into `arrivals`.
#[derive(Default)]
struct Batch {
    records: Vec<Inbound>,
    recalled: Vec<Option<Outcome>>,
    arrivals: Vec<Arrival>,
    /// One for each arrival; `None` if traces are not recorded. A span ends when the offsets are settled.
    spans: Vec<Option<OpenSpan>>,
}

/// Most records that one transaction decides on.
pub(crate) const BATCH: usize = 1_000;
const PATIENCE: Duration = Duration::from_millis(500);

impl Intake {
    pub fn new(inbox: Inbox, ledger: Ledger, screening: impl Into<Screening>, worker: String) -> Self {
        let (in_hand, next) = (Batch::default(), Batch::default());
        Self { inbox, ledger, screening: Arc::new(screening.into()), worker, in_hand, next }
    }

    /// Admits until `shutdown` turns true, then commits the settled offsets and leaves the consumer group.
    pub async fn run(mut self, shutdown: watch::Receiver<bool>, heartbeat: Heartbeat) -> Result<(), IntakeError> {
        let mut backoff = Backoff::between(Duration::from_millis(200), Duration::from_secs(10));
        let mut waiting = false;
        let ended = loop {
            if *shutdown.borrow() {
                break Ok(());
            }
            heartbeat.turned();
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
                Err(IntakeError::Kafka(kafka::Error::Unavailable(why))) => {
                    warn!(why, "waiting for Kafka");
                    self.inbox.idle(backoff.next_delay()).await;
                }
                Err(error) => break Err(error),
            }
        };
        self.inbox.close().await;
        ended
    }

    /// Takes a batch, decides on every record in one transaction, then settles the offsets.
    pub async fn admit_once(&mut self) -> Result<IntakeOutcome, IntakeError> {
        if self.in_hand.records.is_empty() {
            self.in_hand = std::mem::take(&mut self.next);
        }
        if self.in_hand.records.is_empty() {
            self.in_hand = Box::pin(take(&mut self.inbox, PATIENCE, &self.ledger, &self.screening)).await?;
        }
        if self.in_hand.records.is_empty() {
            return Ok(IntakeOutcome::Idle);
        }
        failpoint("intake.polled").map_err(ledger::Error::from)?;
        let deciding = Box::pin(decide(&self.ledger, &self.in_hand, &self.worker));
        let decided = if self.next.records.is_empty() {
            // Takes only records that are there already: this batch must not wait. An error comes again.
            let taking = Box::pin(take(&mut self.inbox, Duration::ZERO, &self.ledger, &self.screening));
            let (decided, next) = tokio::join!(deciding, taking);
            self.next = next.unwrap_or_default();
            decided
        } else {
            deciding.await
        };
        let outcomes = match decided {
            Ok(outcomes) => outcomes,
            // After a COMMIT without a reply the same batch is admitted again: outcomes that were committed stay.
            Err(
                error @ (ledger::Error::Unavailable(_) | ledger::Error::CommitUnknown(_) | ledger::Error::Denied(_)),
            ) => {
                warn!(fault = %error, records = self.in_hand.records.len(), "nothing is settled until the ledger answers");
                return Ok(IntakeOutcome::Waiting);
            }
            Err(error @ ledger::Error::Refused(_)) => return Err(error.into()),
        };
        failpoint("intake.decided").map_err(ledger::Error::from)?;
        let Batch { records, recalled, spans, .. } = std::mem::take(&mut self.in_hand);
        self.inbox.settle(&records)?;
        failpoint("intake.settled").map_err(ledger::Error::from)?;
        let mut spans = spans.into_iter();
        for ((record, recalled), outcome) in records.iter().zip(&recalled).zip(&outcomes) {
            let span = if recalled.is_none() { spans.next().flatten() } else { None };
            // The span ends here.
            spans::end(record, outcome, span.as_ref());
        }
        Ok(IntakeOutcome::Admitted(outcomes))
    }

    /// Commits the settled offsets and leaves the consumer group.
    pub async fn close(self) {
        self.inbox.close().await;
    }
}

/// Takes a batch. Parses the records that the ledger has not decided on, on a thread for blocking work.
async fn take(
    inbox: &mut Inbox,
    patience: Duration,
    ledger: &Ledger,
    screening: &Arc<Screening>,
) -> Result<Batch, kafka::Error> {
    let records = inbox.next_batch(BATCH, patience).await?;
    if records.is_empty() {
        return Ok(Batch::default());
    }
    let coordinates: Vec<Coordinates> = records.iter().map(coordinates).collect();
    // If the ledger is away, all records count as new; the decision then fails with the same error.
    let recalled = ledger.recall(&coordinates).await.unwrap_or_else(|_| vec![None; records.len()]);
    let (screening, group) = (Arc::clone(screening), inbox.group().to_owned());
    let parsing = tokio::task::spawn_blocking(move || {
        let new = records.iter().zip(&recalled).filter(|(_, recalled)| recalled.is_none());
        let mut batch = screening.of_batch();
        let (mut arrivals, mut spans) = (Vec::with_capacity(records.len()), Vec::with_capacity(records.len()));
        for (record, _) in new {
            let arrival = batch.arrival(source(record));
            let (context, span) = spans::begin(record, &group, &arrival);
            arrivals.push(arrival.under(context));
            spans.push(span);
        }
        Batch { records, recalled, arrivals, spans }
    });
    Ok(parsing.await.expect("parsing does not panic and is not cancelled"))
}

/// One outcome for each record of a batch: the recalled one, or what the ledger decides now.
async fn decide(ledger: &Ledger, batch: &Batch, worker: &str) -> Result<Vec<Outcome>, ledger::Error> {
    let decided = if batch.arrivals.is_empty() { Vec::new() } else { ledger.admit(&batch.arrivals, worker).await? };
    let mut decided = decided.into_iter();
    let outcomes = batch.recalled.iter().map(|recalled| recalled.clone().or_else(|| decided.next()));
    Ok(outcomes.map(|outcome| outcome.expect("every record was decided on")).collect())
}

fn coordinates(record: &Inbound) -> Coordinates {
    Coordinates { topic: record.topic.clone(), partition: record.partition, offset: record.offset }
}

fn source(record: &Inbound) -> SourceRecord {
    // A CloudEvent in binary mode may carry its trace context as `ce_traceparent`; a plain `traceparent` wins.
    let prefix = if record.headers.contains_key("traceparent") { "" } else { "ce_" };
    let header = |name: &str| record.headers.get(&format!("{prefix}{name}")).map(String::as_str);
    SourceRecord {
        coordinates: coordinates(record),
        key: record.key.clone(),
        value: record.value.clone(),
        trace: TraceContext::read(header("traceparent"), header("tracestate")),
    }
}
