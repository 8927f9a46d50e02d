//! The relay's loop, and the turns by which tests and benchmarks drive it.

use super::outcome::{RelayError, RelayOutcome};
use super::sender::Sender;
use super::turn::{Filled, Relay};
use crate::adapters::ledger;
use crate::clock::Stopwatch;
use crate::worker::backoff::Backoff;
use crate::worker::liveness::Heartbeat;
use std::time::Duration;
use tokio::sync::watch;
use tracing::{info, warn};

/// How long [`Relay::relay_once`] waits for delivery reports at most.
const PATIENCE: Duration = Duration::from_secs(6);
/// How long after `shutdown` a relay begins further turns, to send the last events of the runs.
const LAST_TURNS: Duration = Duration::from_secs(5);
/// The longest time that a turn waits for reports.
const TURN: Duration = Duration::from_millis(500);

impl Relay {
    /// Sends until `shutdown` turns true, then sends what the other loops left in their last turns, and releases its
    /// shards.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>, heartbeat: Heartbeat) -> Result<(), RelayError> {
        let mut trouble = Backoff::between(Duration::from_millis(200), Duration::from_secs(10));
        let mut well = true;
        while !*shutdown.borrow() {
            heartbeat.turned();
            let pause = match self.turn(&mut shutdown).await {
                Ok(()) => {
                    well = true;
                    trouble.reset();
                    continue;
                }
                Err(
                    error @ RelayError::Ledger(
                        ledger::Error::Unavailable(_)
                        | ledger::Error::TimedOut(_)
                        | ledger::Error::CommitUnknown(_)
                        | ledger::Error::Denied(_),
                    ),
                ) => {
                    warn!(fault = %error, "the relay waits for the ledger");
                    trouble.next_delay()
                }
                Err(error @ RelayError::Kafka(_)) => {
                    warn!(fault = %error, "the outbox waits for Kafka");
                    trouble.next_delay()
                }
                Err(
                    error @ (RelayError::Ledger(ledger::Error::Refused(_) | ledger::Error::Unfit(_))
                    | RelayError::Ownership(_)),
                ) => {
                    return Err(error);
                }
            };
            well = false;
            let _ = tokio::time::timeout(pause, shutdown.wait_for(|stop| *stop)).await;
        }
        let since = Stopwatch::start();
        while well && since.elapsed() < LAST_TURNS {
            match self.relay_once().await {
                Ok(RelayOutcome::Sent(_)) => {}
                Ok(RelayOutcome::Idle) => break,
                Err(error) => {
                    info!(fault = %error, "the rest of the outbox is another's to send");
                    break;
                }
            }
        }
        self.close().await;
        Ok(())
    }

    /// Hands over records as far as there are places, waits for the first reports or until a lane is to be looked at,
    /// and settles the reports that have come.
    async fn turn(&mut self, shutdown: &mut watch::Receiver<bool>) -> Result<(), RelayError> {
        self.holding.keep(&self.ledger, &self.name).await?;
        self.fill(false).await?;
        let looks = self.senders.iter().filter_map(Sender::until_look).min();
        let wait = looks.unwrap_or(TURN).min(self.holding.until_renewal()).min(TURN);
        let reports = tokio::select! {
            reports = self.collect(wait) => reports,
            _ = shutdown.wait_for(|stop| *stop) => Vec::new(),
        };
        self.settle(reports).await?;
        Ok(())
    }

    /// Hands over the first unsent records of every stream, as many as there are places for, waits until all have their
    /// report, at most `PATIENCE`, and marks the acknowledged ones as sent.
    pub async fn relay_once(&mut self) -> Result<RelayOutcome, RelayError> {
        self.holding.keep(&self.ledger, &self.name).await?;
        let is_idle = self.in_flight.is_empty() && self.acknowledged.is_empty();
        let Filled { records, error: mut first_error } = self.fill(true).await?;
        let since = Stopwatch::start();
        let mut sent = 0;
        while !self.in_flight.is_empty() || !self.acknowledged.is_empty() {
            let left = PATIENCE.saturating_sub(since.elapsed());
            if left.is_zero() {
                let silent = self.senders.iter().find(|sender| !sender.busy().is_empty());
                first_error = first_error.or(silent.map(Sender::unanswered));
                break;
            }
            let reports = self.collect(left).await;
            let (marked, error) = self.settle(reports).await?;
            sent += marked;
            first_error = first_error.or(error);
        }
        match first_error {
            Some(error) if sent == 0 => Err(error.into()),
            None if is_idle && records == 0 => Ok(RelayOutcome::Idle),
            Some(_) | None => Ok(RelayOutcome::Sent(sent)),
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

    /// Gives up what is still in flight, and releases the shards.
    pub async fn close(mut self) {
        self.senders.iter_mut().for_each(Sender::give_up_producer);
        if let Err(error) = self.ledger.release_shards(&self.name).await {
            info!(fault = %error, "the shards stay leased until they expire");
        }
    }
}
