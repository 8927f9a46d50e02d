//! The end of a worker: what is told to whom, in which order, and how long each may take.
//!
//! No new work at once; the run in hand may go on until `[worker] drain_seconds` are over; then it is given
//! back. The relay works until the runners have ended, so that what they did is told. Never: waits without a
//! bound.

use crate::clock;
use crate::failpoints::failpoint;
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use tracing::{error, info};

/// How long loops may take to give back what they hold.
pub(super) const GIVE_BACK: Duration = Duration::from_secs(15);

/// Loops that tell of what the others do, and end after them.
const TO_THE_END: [&str; 2] = ["relay", "gauges"];

/// The loops of a worker and what each listens to.
pub(super) struct Loops {
    tasks: JoinSet<anyhow::Result<()>>,
    names: HashMap<Id, &'static str>,
    stop: watch::Sender<bool>,
    give_back: watch::Sender<bool>,
    stop_relay: watch::Sender<bool>,
}

/// Loops that did not end in time. What they hold in the ledger is another's to complete.
#[derive(Debug, thiserror::Error)]
#[error("did not end within the time for draining: {0}")]
pub(super) struct Abandoned(String);

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
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

    /// Turns true when no new work is to be taken.
    pub(super) fn stop(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Turns true when work in hand is to be given back.
    pub(super) fn give_back(&self) -> watch::Receiver<bool> {
        self.give_back.subscribe()
    }

    /// Turns true when nobody does anything any more that is to be told.
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

    /// Waits for the first of: a word from outside, or a loop that ended. Then has the others end.
    pub(super) async fn supervise(
        mut self,
        finish: Duration,
        mut shutdown: watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        let mut first_fault = None;
        let (mut stage, mut until) = (Stage::Working, clock::now());
        loop {
            let asked = tokio::select! {
                ended = self.tasks.join_next_with_id() => {
                    let Some(ended) = ended else { break };
                    let error = self.ended(ended, stage);
                    let failed = error.is_some();
                    first_fault = first_fault.or(error);
                    failed && stage == Stage::Working
                }
                _ = shutdown.wait_for(|stop| *stop), if stage == Stage::Working => true,
                () = tokio::time::sleep_until(until.into()), if stage != Stage::Working => {
                    if stage == Stage::GivingBack {
                        let abandoned = Abandoned(self.running().join(", "));
                        error!(%abandoned, "stopping all the same");
                        return Err(first_fault.unwrap_or_else(|| abandoned.into()));
                    }
                    (stage, until) = (Stage::GivingBack, until + GIVE_BACK);
                    info!("giving back what is in hand");
                    self.give_back.send_replace(true);
                    self.stop_relay.send_replace(true);
                    false
                }
            };
            if asked {
                info!(seconds = finish.as_secs(), "draining");
                (stage, until) = (Stage::Finishing, clock::now() + finish);
                self.stop.send_replace(true);
                if let Err(injected) = failpoint("shutdown.begun") {
                    first_fault.get_or_insert(injected.into());
                }
            }
            if stage != Stage::Working && self.names.values().all(|name| TO_THE_END.contains(name)) {
                self.stop_relay.send_replace(true);
            }
        }
        match first_fault {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// A loop that ended; a fault unless it was asked to.
    fn ended(
        &mut self,
        ended: Result<(Id, anyhow::Result<()>), tokio::task::JoinError>,
        stage: Stage,
    ) -> Option<anyhow::Error> {
        let id = ended.as_ref().map_or_else(tokio::task::JoinError::id, |(id, _)| *id);
        let name = self.names.remove(&id).unwrap_or("unknown");
        let error = match ended {
            Ok((_, Ok(()))) if stage != Stage::Working => return None,
            Ok((_, Ok(()))) => anyhow::anyhow!("the {name} loop ended by itself"),
            Ok((_, Err(error))) => error.context(format!("the {name} loop gave up")),
            Err(panic) => anyhow::anyhow!("the {name} loop panicked: {panic}"),
        };
        error!(error = format!("{error:#}"), "stopping the worker");
        Some(error)
    }

    fn running(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.names.values().copied().collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}
