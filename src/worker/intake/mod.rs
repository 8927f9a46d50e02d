//! Intake: takes ownership of records durably, and only then settles their offsets.
//!
//! Guarantees: an offset moves only after the ledger committed what became of its record; a bad record never holds up
//! the ones behind it; while the ledger is away nothing is settled and nothing refused. A record counts as decided only
//! if its coordinates still hold the bytes that were decided on. Never: trains, produces; ends because of what a record
//! holds.
//!
//! What may lie in one record (it makes our code fail, the database cannot hold it, a statement over it takes too long)
//! never counts against the others: the batch is halved until one record is left, and that one is refused.
//!
//! While the ledger decides on one batch, the next one is taken and parsed. A record that was decided on before, as in
//! a replay of the whole topic, is not parsed again and gets no span.

mod batch;
mod screening;
mod spans;

pub use screening::{BatchScreening, Screening};

use crate::adapters::kafka::{self, Inbox};
use crate::adapters::ledger::{self, Ledger};
use crate::domain::run::Outcome;
use crate::failpoints::failpoint;
use crate::guard::guarded_future;
use crate::telemetry::metrics;
use crate::worker::backoff::Backoff;
use crate::worker::liveness::{Heartbeat, IntakeStandstill};
use crate::worker::placement::{Placer, Placing};
use batch::{Batch, Remedy, Undecided};
use futures::future::{Either, select};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tracing::{error, info, warn};

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
    /// The ledger did not take the batch as it is; the next turn tries it smaller.
    Halved,
}

pub struct Intake {
    inbox: Inbox,
    placer: Placer,
    ledger: Ledger,
    screening: Arc<Screening>,
    worker: String,
    in_hand: Batch,
    /// Batches behind the one in hand, in the order of their records.
    behind: VecDeque<Batch>,
    standstill: IntakeStandstill,
}

/// Most records that one transaction decides on.
pub(crate) const BATCH: usize = 1_000;
const PATIENCE: Duration = Duration::from_millis(500);

impl Intake {
    pub fn new(inbox: Inbox, ledger: Ledger, screening: impl Into<Screening>, worker: String) -> Self {
        let placer = Placer::new(ledger.clone(), worker.clone());
        let (in_hand, behind) = (Batch::default(), VecDeque::new());
        let (screening, standstill) = (Arc::new(screening.into()), IntakeStandstill::default());
        Self { inbox, placer, ledger, screening, worker, in_hand, behind, standstill }
    }

    /// Returns a handle that says for how long, and why, intake gets nothing done.
    pub fn standstill(&self) -> IntakeStandstill {
        self.standstill.clone()
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
            let turned = self.admit_once().await;
            self.show(&turned);
            match turned {
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
                Ok(IntakeOutcome::Halved) => {}
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

    fn show(&mut self, turned: &Result<IntakeOutcome, IntakeError>) {
        let unplaced = self.inbox.unplaced();
        metrics::PARTITIONS_UNPLACED.set((), unplaced.len() as f64);
        match turned {
            Ok(IntakeOutcome::Waiting) => self.standstill.begin("the ledger decides on no records"),
            Err(error) => self.standstill.begin(&error.to_string()),
            Ok(_) if !unplaced.is_empty() => {
                self.standstill.begin(&format!("partitions {unplaced:?} are assigned and not read"));
            }
            Ok(_) => self.standstill.end(),
        }
    }

    /// Takes a batch, decides on every record in one transaction, then settles the offsets.
    pub async fn admit_once(&mut self) -> Result<IntakeOutcome, IntakeError> {
        let placing = Box::pin(self.placer.follow(&mut self.inbox)).await?;
        if let Some(outcome) = self.placed(placing) {
            return Ok(outcome);
        }
        if self.in_hand.is_empty() {
            self.in_hand = self.behind.pop_front().unwrap_or_default();
        }
        let incarnation = self.placer.incarnation();
        if self.in_hand.is_empty() {
            let taking = take(&mut self.inbox, PATIENCE, &self.ledger, &self.screening, incarnation);
            self.in_hand = Box::pin(taking).await?;
        } else if !self.in_hand.unasked.is_empty() {
            let (unasked, group) = (std::mem::take(&mut self.in_hand.unasked), self.inbox.group().to_owned());
            let asking = Batch::ask(unasked, group, &self.ledger, &self.screening, incarnation);
            self.in_hand = self.inbox.attend(Box::pin(asking)).await;
        }
        if !self.in_hand.unasked.is_empty() {
            return Ok(IntakeOutcome::Waiting);
        }
        if let Some(at) = &self.in_hand.contradicted {
            let reason = format!("{at} holds another record than the one that was decided on");
            let placing = Box::pin(self.placer.begin_incarnation(&mut self.inbox, &reason)).await?;
            return Ok(self.placed(placing).unwrap_or(IntakeOutcome::Idle));
        }
        if self.in_hand.is_empty() {
            let placing =
                if self.behind.is_empty() { Box::pin(self.placer.rest(&mut self.inbox)).await? } else { Placing::Done };
            return Ok(self.placed(placing).unwrap_or(IntakeOutcome::Idle));
        }
        failpoint("intake.polled").map_err(ledger::Error::from)?;
        let deciding = Box::pin(decide(&self.ledger, &self.in_hand, &self.worker));
        let decided = if self.behind.is_empty() {
            // Takes only records that are there already: this batch must not wait. The next turn meets an error of
            // Kafka again.
            let taking = Box::pin(take(&mut self.inbox, Duration::ZERO, &self.ledger, &self.screening, incarnation));
            let (next, deciding) = match select(deciding, taking).await {
                Either::Left((decided, taking)) => (taking.await, Either::Left(std::future::ready(decided))),
                Either::Right((next, deciding)) => (next, Either::Right(deciding)),
            };
            self.behind.extend(next.ok().filter(|next| !next.is_empty()));
            self.inbox.attend(deciding).await
        } else {
            self.inbox.attend(deciding).await
        };
        let outcomes = match decided {
            Ok(outcomes) => outcomes,
            Err(error) => return self.without_decision(error),
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

    /// Decides how to go on after an error: nothing of the batch in hand was decided.
    fn without_decision(&mut self, error: Undecided) -> Result<IntakeOutcome, IntakeError> {
        let records = self.in_hand.records.len();
        match self.in_hand.remedy(&error) {
            // After a COMMIT without a reply the same batch is admitted again: outcomes that were committed stay.
            Remedy::Wait => {
                self.in_hand.timeouts += u32::from(matches!(error, Undecided::Ledger(ledger::Error::TimedOut(_))));
                warn!(fault = %error, records, "nothing is settled until the ledger answers");
                return Ok(IntakeOutcome::Waiting);
            }
            Remedy::Halve => {
                warn!(fault = %error, records, "the ledger does not take these records together; each half is tried alone");
                let (first, second) = std::mem::take(&mut self.in_hand).halves();
                self.in_hand = first;
                self.behind.push_front(second);
            }
            Remedy::Refuse => {
                error!(fault = %error, "the ledger does not take this record; it is refused");
                self.in_hand.refuse(&error.to_string());
            }
            Remedy::End => {
                return Err(match error {
                    Undecided::Ledger(error) => error.into(),
                    Undecided::Panicked(panicked) => ledger::Error::Refused(panicked.to_string()).into(),
                });
            }
        }
        Ok(IntakeOutcome::Halved)
    }

    /// Returns how the turn ends, if partitions could not be placed or are placed anew; `None` if the turn goes on.
    fn placed(&mut self, placing: Placing) -> Option<IntakeOutcome> {
        match placing {
            Placing::Done => None,
            Placing::Anew => {
                (self.in_hand, self.behind) = (Batch::default(), VecDeque::new());
                Some(IntakeOutcome::Idle)
            }
            Placing::Waiting(error) => {
                warn!(fault = %error, "partitions are not placed until the ledger answers");
                Some(IntakeOutcome::Waiting)
            }
        }
    }

    /// Commits the settled offsets and leaves the consumer group.
    pub async fn close(self) {
        self.inbox.close().await;
    }
}

/// Takes a batch from Kafka, waiting up to `patience` for its first record, and asks the ledger about its records.
async fn take(
    inbox: &mut Inbox,
    patience: Duration,
    ledger: &Ledger,
    screening: &Arc<Screening>,
    incarnation: u32,
) -> Result<Batch, kafka::Error> {
    let records = inbox.next_batch(BATCH, patience).await?;
    Ok(Batch::ask(records, inbox.group().to_owned(), ledger, screening, incarnation).await)
}

/// Returns one outcome for each record of a batch: the recalled one, or what the ledger decides now.
async fn decide(ledger: &Ledger, batch: &Batch, worker: &str) -> Result<Vec<Outcome>, Undecided> {
    let decided = if batch.arrivals.is_empty() {
        Vec::new()
    } else {
        guarded_future(ledger.admit(&batch.arrivals, worker)).await??
    };
    let mut decided = decided.into_iter();
    let outcomes = batch.recalled.iter().map(|recalled| recalled.clone().or_else(|| decided.next()));
    Ok(outcomes.map(|outcome| outcome.expect("every record was decided on")).collect())
}
