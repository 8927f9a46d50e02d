//! Ends a worker: decides which loop stops when, and how long each may take.
//!
//! When the drain begins, no loop takes new work. A run that a slot is working on may go on for `[worker]
//! drain_seconds`. After that time the worker gives it back to the queue. The relay works until the runners have ended,
//! so that it sends their last events. Never: waits without a timeout once the drain has begun.

use crate::adapters::ledger::Ledger;
use crate::clock;
use crate::failpoints::failpoint;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use tracing::{error, info};

/// Timeout for loops to give back their runs. Loops that take longer are abandoned.
const GIVE_BACK: Duration = Duration::from_secs(15);
/// Timeout of each call to the ledger after the loops: to release the leases of abandoned work, and to close
/// connections.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(5);

/// Loops that send or measure what the other loops do. They stop after the other loops.
const TO_THE_END: [&str; 2] = ["relay", "gauges"];

/// The loops of a worker, and the signals that end them.
pub(super) struct Loops {
    tasks: JoinSet<anyhow::Result<()>>,
    names: HashMap<Id, &'static str>,
    stop: watch::Sender<bool>,
    give_back: watch::Sender<bool>,
    stop_relay: watch::Sender<bool>,
}

/// Names of loops that did not end in time. Another worker completes the work that they hold in the ledger.
#[derive(Debug, thiserror::Error)]
#[error("did not end within the time for draining: {0}")]
pub(super) struct Abandoned(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DrainStage {
    Working,
    Finishing,
    GivingBack,
}

impl Loops {
    pub(super) fn new() -> Self {
        Self {
            tasks: JoinSet::new(),
            names: HashMap::new(),
            stop: watch::Sender::new(false),
            give_back: watch::Sender::new(false),
            stop_relay: watch::Sender::new(false),
        }
    }

    /// Returns a channel that turns true when the drain begins. A loop then takes no new work.
    pub(super) fn stop(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Returns a channel that turns true when runs may go on no longer. A slot then gives its run back.
    pub(super) fn give_back(&self) -> watch::Receiver<bool> {
        self.give_back.subscribe()
    }

    /// Returns the channel that stops the loops of [`TO_THE_END`]. It turns true when all other loops have ended, or
    /// when `give_back` turns true.
    pub(super) fn stop_relay(&self) -> watch::Receiver<bool> {
        self.stop_relay.subscribe()
    }

    pub(super) fn spawn(
        &mut self,
        name: &'static str,
        work: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let task = self.tasks.spawn(work);
        self.names.insert(task.id(), name);
    }

    /// Waits until `shutdown` turns true or a loop ends by itself, then drains all loops. Runs may go on for `finish`.
    /// Returns the error of the first loop that ended with one, or [`Abandoned`].
    pub(super) async fn supervise(
        mut self,
        finish: Duration,
        mut shutdown: watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        let mut first_error = None;
        let (mut stage, mut until) = (DrainStage::Working, clock::now());
        loop {
            let begins = tokio::select! {
                ended = self.tasks.join_next_with_id() => {
                    let Some(ended) = ended else { break };
                    let error = self.ended(ended, stage);
                    let failed = error.is_some();
                    first_error = first_error.or(error);
                    failed && stage == DrainStage::Working
                }
                _ = shutdown.wait_for(|stop| *stop), if stage == DrainStage::Working => true,
                () = tokio::time::sleep_until(until.into()), if stage != DrainStage::Working => {
                    if stage == DrainStage::GivingBack {
                        let running: BTreeSet<_> = self.names.into_values().collect();
                        let abandoned = Abandoned(running.into_iter().collect::<Vec<_>>().join(", "));
                        error!(%abandoned, "stopping all the same");
                        return Err(first_error.unwrap_or_else(|| abandoned.into()));
                    }
                    (stage, until) = (DrainStage::GivingBack, until + GIVE_BACK);
                    info!("giving back what is in hand");
                    self.give_back.send_replace(true);
                    self.stop_relay.send_replace(true);
                    false
                }
            };
            if begins {
                info!(seconds = finish.as_secs(), "draining");
                (stage, until) = (DrainStage::Finishing, clock::now() + finish);
                self.stop.send_replace(true);
                if let Err(injected) = failpoint("shutdown.begun") {
                    first_error.get_or_insert(injected.into());
                }
            }
            if stage != DrainStage::Working && self.names.values().all(|name| TO_THE_END.contains(name)) {
                self.stop_relay.send_replace(true);
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    /// Removes a loop that ended, and returns its error. If a loop ends before the drain, that is an error too.
    fn ended(
        &mut self,
        ended: Result<(Id, anyhow::Result<()>), tokio::task::JoinError>,
        stage: DrainStage,
    ) -> Option<anyhow::Error> {
        let id = ended.as_ref().map_or_else(tokio::task::JoinError::id, |(id, _)| *id);
        let name = self.names.remove(&id).unwrap_or("unknown");
        let error = match ended {
            Ok((_, Ok(()))) if stage != DrainStage::Working => return None,
            Ok((_, Ok(()))) => anyhow::anyhow!("the {name} loop ended by itself"),
            Ok((_, Err(error))) => error.context(format!("the {name} loop gave up")),
            Err(panic) => anyhow::anyhow!("the {name} loop panicked: {panic}"),
        };
        error!(error = format!("{error:#}"), "stopping the worker");
        Some(error)
    }
}

/// Gives back the runs of abandoned work, without counting their attempts. The ledger refuses whatever that work still
/// writes, since its leases are gone. If the ledger does not reply, the leases expire by themselves.
pub(super) async fn release_leases(ledger: &Ledger, worker: &str) {
    match tokio::time::timeout(LAST_WORDS, ledger.release_all(worker)).await {
        Ok(Ok(released)) => info!(?released, "gave back what did not stop in time"),
        Ok(Err(error)) => error!(fault = %error, "leases could not be given back; they expire"),
        Err(_) => error!("the ledger did not answer; leases expire"),
    }
}
