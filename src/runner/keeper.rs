//! Keeps a lease alive while its run is worked on, and says when to stop.

use super::Interrupted;
use crate::ledger::{Lease, Ledger, Renewal};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::warn;

/// Why work on a run must stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It need not.
    Go,
    /// The lease is lost, or could not be renewed in time.
    Lost,
    /// A requester or operator cancelled the run.
    Cancelled,
    /// The worker shuts down.
    Shutdown,
}

/// Renews one lease every third of its length until it ends.
pub(super) struct Keeper {
    stop: watch::Receiver<Stop>,
    done: watch::Sender<bool>,
    task: JoinHandle<()>,
}

#[expect(clippy::disallowed_methods, reason = "a lease is held by the worker's own monotonic clock")]
fn now() -> Instant {
    Instant::now()
}

impl Keeper {
    pub(super) fn start(ledger: Ledger, lease: &Lease, shutdown: watch::Receiver<bool>) -> Self {
        let (tell, stop) = watch::channel(Stop::Go);
        let (done, ended) = watch::channel(false);
        let length = lease.stop_at.saturating_duration_since(now());
        let beat = Heartbeat {
            ledger,
            worker: lease.worker.clone(),
            held: [(lease.run_id.clone(), lease.fence)],
            every: (length / 3).max(Duration::from_millis(50)),
            length,
            stop_at: lease.stop_at,
        };
        #[expect(clippy::disallowed_methods, reason = "heartbeats must not share a task with the work")]
        let task = tokio::spawn(beat.run(tell, shutdown, ended));
        Self { stop, done, task }
    }

    /// Where the trainer listens.
    pub(super) fn stop(&self) -> watch::Receiver<Stop> {
        self.stop.clone()
    }

    /// Between two steps: go on, or why not.
    pub(super) fn check(&self) -> Result<(), Interrupted> {
        match *self.stop.borrow() {
            Stop::Go => Ok(()),
            Stop::Lost => Err(Interrupted::Lost),
            Stop::Cancelled => Err(Interrupted::Cancelled),
            Stop::Shutdown => Err(Interrupted::HandBack),
        }
    }

    /// Ends the heartbeat; waits for the one under way, since a database future is never dropped.
    pub(super) async fn end(self) {
        self.done.send_replace(true);
        let _ = self.task.await;
    }
}

struct Heartbeat {
    ledger: Ledger,
    worker: String,
    held: [(crate::identity::RunId, i64); 1],
    every: Duration,
    length: Duration,
    stop_at: Instant,
}

impl Heartbeat {
    async fn run(
        mut self,
        tell: watch::Sender<Stop>,
        mut shutdown: watch::Receiver<bool>,
        mut ended: watch::Receiver<bool>,
    ) {
        let mut shutting_down = false;
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.every) => {}
                _ = ended.wait_for(|done| *done) => return,
                _ = shutdown.wait_for(|stop| *stop), if !shutting_down => {
                    shutting_down = true;
                    tell.send_replace(Stop::Shutdown);
                }
            }
            match self.renew().await {
                Stop::Go => {}
                Stop::Shutdown => return,
                stop @ (Stop::Lost | Stop::Cancelled) => {
                    tell.send_replace(stop);
                    return;
                }
            }
        }
    }

    /// One heartbeat. The database says whether the lease holds; this process stops itself earlier,
    /// by its own monotonic clock, when the database cannot be asked.
    async fn renew(&mut self) -> Stop {
        let asked_at = now();
        match self.ledger.renew(&self.worker, &self.held).await {
            Ok(renewals) => match renewals.into_iter().next() {
                Some(Renewal::Held) => {
                    self.stop_at = asked_at + self.length;
                    Stop::Go
                }
                Some(Renewal::CancelRequested) => Stop::Cancelled,
                Some(Renewal::Lost) | None => Stop::Lost,
            },
            Err(fault) => {
                warn!(%fault, "a heartbeat failed");
                if now() + self.every >= self.stop_at { Stop::Lost } else { Stop::Go }
            }
        }
    }
}
