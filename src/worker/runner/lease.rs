//! A run's lease: how a worker keeps it, and how it knows in time that it has lost it.
//!
//! Two clocks measure one lease. The database's clock says when another worker may claim the run; the worker's own
//! monotonic clock says when work on it must stop. The worker reads its clock *before* it sends the claim or the
//! renewal, and the database reads its own while it executes the statement. Both add `lease_seconds`, so the worker's
//! window always closes first, whatever the two clocks show and however slow the network is:
//!
//! ```text
//!                 reads its clock                               stop_at: work stops
//!  worker    ────────┬─────────────── trust window ─────────────────┬────────────────────▶
//!                    │ claim or renewal                             ┊
//!                    └──────────┐                                   ┊
//!  database  ───────────────────┴──────────── lease_seconds ────────┊──────────┬─────────▶
//!                        executes the statement                        lease_expires_at:
//!                                                                      others may claim
//! ```
//!
//! - A renewal that succeeds moves both ends. One statement renews every lease of the worker each third of
//!   `lease_seconds`. After an error it is tried again a twelfth later, so several may fail before a lease ends.
//! - While the database does not answer, the window closes by the worker's clock alone: the trainer is killed and
//!   nothing more is written. No answer is needed to know that the lease is over.
//! - A process that stood still (a paused machine) wakes up behind its window, and stops the work at once. A write that
//!   it still sends is refused, since every write names the fence and each claim raises it.
//! - The two clocks may show different times. They must only run at the same speed for the length of a lease.
//!
//! The [`Renewer`] is a thread with a runtime and a database connection of its own, so that neither training nor a
//! blocked stage can delay it. The [`Guard`] is what an attempt asks between its steps.
//!
//! Guarantees: an attempt is told to stop before another worker may claim its run, unless the whole process stands
//! still. Never: drops a database future; renews a lease that was let go.

use super::outcome::Interrupted;
use crate::adapters::ledger::{Error, Lease, Ledger, Renewal};
use crate::clock;
use crate::domain::identity::RunId;
use crate::telemetry::metrics::{self, NoticedBy, StaleWrite};
use crate::worker::liveness::Heartbeat;
use std::collections::HashMap;
use std::pin::Pin;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;
use tracing::{error, warn};

/// Has one lease renewed while this value lives, and says whether the attempt may go on.
pub(super) struct Guard<'a> {
    renewer: &'a Renewer,
    lease: &'a Lease,
    stop: watch::Receiver<StopSignal>,
    give_back: watch::Receiver<bool>,
    heartbeat: &'a Heartbeat,
}

/// The time that the watchdog allows a stage that does not train: the stage reads and writes documents, with retries.
const SLOW_STAGE: Duration = Duration::from_mins(10);

impl<'a> Guard<'a> {
    pub(super) fn start(
        renewer: &'a Renewer,
        lease: &'a Lease,
        give_back: watch::Receiver<bool>,
        heartbeat: &'a Heartbeat,
    ) -> Self {
        heartbeat.may_take(SLOW_STAGE);
        Self { renewer, lease, stop: renewer.hold(lease), give_back, heartbeat }
    }

    /// Announces work that may take `seconds`: the watchdog does not report the slot as stuck before that.
    pub(super) fn may_take(&self, seconds: u32) {
        self.heartbeat.may_take(SLOW_STAGE.max(Duration::from_secs(u64::from(seconds))));
    }

    /// Fails if the attempt must stop before its next step; the error is the reason.
    pub(super) fn check(&self) -> Result<(), Interrupted> {
        self.heartbeat.may_take(SLOW_STAGE);
        match *self.stop.borrow() {
            StopSignal::Lost => Err(Interrupted::Lost),
            StopSignal::Cancelled => Err(Interrupted::Cancelled),
            StopSignal::Go if *self.give_back.borrow() => Err(Interrupted::HandBack),
            StopSignal::Go => Ok(()),
        }
    }

    /// Resolves when [`Self::check`] would fail.
    pub(super) async fn stopped(&self) {
        let (mut stop, mut give_back) = (self.stop.clone(), self.give_back.clone());
        tokio::select! {
            _ = stop.wait_for(|stop| *stop != StopSignal::Go) => {}
            _ = give_back.wait_for(|give_back| *give_back) => {}
        }
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.renewer.let_go(self.lease);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StopSignal {
    Go,
    /// The ledger reports the lease as lost, or the worker could not renew the lease in time.
    Lost,
    /// A requester or an operator cancelled the run.
    Cancelled,
}

/// Run and fence, which together name one lease.
type LeaseKey = (RunId, i64);

enum RenewerCommand {
    Hold { key: LeaseKey, held: HeldLease },
    LetGo(LeaseKey),
}

struct HeldLease {
    /// End of the trust window, by this process's clock.
    stop_at: Instant,
    signal: watch::Sender<StopSignal>,
}

impl HeldLease {
    fn lose(&self, noticed_by: NoticedBy) {
        metrics::LEASES_LOST.count(noticed_by);
        self.signal.send_replace(StopSignal::Lost);
    }
}

/// The thread that renews the leases of one worker; it ends when this value is dropped.
pub struct Renewer {
    commands: mpsc::UnboundedSender<RenewerCommand>,
}

impl Renewer {
    /// Starts the thread. The thread connects to the database when it has the first lease to renew.
    pub fn start(ledger: &Ledger, worker: String, heartbeat: Heartbeat) -> std::io::Result<Self> {
        let (commands, received) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let ledger = ledger.clone();
        std::thread::Builder::new().name("heartbeats".to_owned()).spawn(move || {
            runtime.block_on(async {
                match ledger.on_one_connection() {
                    Ok(ledger) => RenewalLoop::new(ledger, worker, heartbeat).run(received).await,
                    Err(error) => error!(fault = %error, "no heartbeats"),
                }
            });
        })?;
        Ok(Self { commands })
    }

    /// Has the thread renew this lease until `let_go`. If the thread has ended, the lease counts as lost at once.
    fn hold(&self, lease: &Lease) -> watch::Receiver<StopSignal> {
        let (signal, stop) = watch::channel(StopSignal::Go);
        let held = HeldLease { stop_at: lease.stop_at, signal };
        let command = RenewerCommand::Hold { key: (lease.run_id.clone(), lease.fence), held };
        if let Err(mpsc::error::SendError(RenewerCommand::Hold { held, .. })) = self.commands.send(command) {
            held.signal.send_replace(StopSignal::Lost);
        }
        stop
    }

    fn let_go(&self, lease: &Lease) {
        // If the thread has ended, it renews nothing, and there is nothing to let go.
        let _ = self.commands.send(RenewerCommand::LetGo((lease.run_id.clone(), lease.fence)));
    }
}

type RenewalReply = Pin<Box<dyn Future<Output = (Vec<LeaseKey>, Result<Vec<Renewal>, Error>)>>>;

struct RenewalLoop {
    ledger: Ledger,
    worker: String,
    held: HashMap<LeaseKey, HeldLease>,
    /// Leases that were let go since the renewal in flight was sent.
    let_go: Vec<LeaseKey>,
    next_renewal: Instant,
    /// The renewal in flight, and this process's clock when it was sent; `None` if none is in flight.
    in_flight: Option<(Instant, RenewalReply)>,
    heartbeat: Heartbeat,
}

impl RenewalLoop {
    fn new(ledger: Ledger, worker: String, heartbeat: Heartbeat) -> Self {
        let (held, let_go) = (HashMap::new(), Vec::new());
        Self { ledger, worker, held, let_go, next_renewal: clock::now(), in_flight: None, heartbeat }
    }

    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<RenewerCommand>) {
        loop {
            let first_end = self.held.values().map(|held| held.stop_at).min();
            match first_end {
                Some(_) => self.heartbeat.may_take(self.ledger.renewal_interval()),
                // Without a lease nothing is due, so the loop may wait without bound.
                None => self.heartbeat.rests(),
            }
            tokio::select! {
                // Commands come first: a lease that was let go must not be reported as lost.
                biased;
                command = commands.recv() => match command {
                    Some(command) => self.apply(command),
                    None => break,
                },
                (keys, reply) = reply(&mut self.in_flight) => self.apply_reply(&keys, reply),
                // A due renewal is sent before windows close, so that the ledger says what became of a lease over which
                // this worker stood still.
                () = sleep_until(self.next_renewal.into()), if self.in_flight.is_none() && first_end.is_some() => self.send_renewal(),
                () = sleep_until(first_end.unwrap_or_else(clock::now).into()), if first_end.is_some() => self.close_windows(),
            }
        }
        if let Some((_, reply)) = self.in_flight.take() {
            // Nobody needs the reply any more, but a database future is never dropped.
            let _ = reply.await;
        }
        self.ledger.close().await;
    }

    fn apply(&mut self, command: RenewerCommand) {
        match command {
            RenewerCommand::Hold { key, held } => {
                let soon = clock::now() + self.ledger.renewal_interval();
                self.next_renewal = if self.held.is_empty() { soon } else { self.next_renewal.min(soon) };
                self.held.insert(key, held);
            }
            RenewerCommand::LetGo(key) => {
                // A lease whose window has closed was removed before, and stays lost.
                if self.held.remove(&key).is_some() {
                    self.let_go.push(key);
                }
            }
        }
    }

    /// Tells those attempts to stop whose trust window is over, whether or not the database answers.
    fn close_windows(&mut self) {
        let at = clock::now();
        for ((run_id, _), held) in self.held.extract_if(|_, held| held.stop_at <= at) {
            warn!(run.id = %run_id, "the lease could not be renewed in time");
            held.lose(NoticedBy::OwnClock);
        }
    }

    fn send_renewal(&mut self) {
        let sent_at = clock::now();
        self.next_renewal = sent_at + self.ledger.renewal_interval();
        self.let_go.clear();
        let keys: Vec<LeaseKey> = self.held.keys().cloned().collect();
        let (ledger, worker) = (self.ledger.clone(), self.worker.clone());
        let reply = Box::pin(async move {
            let reply = ledger.renew(&worker, &keys).await;
            (keys, reply)
        });
        self.in_flight = Some((sent_at, reply));
    }

    fn apply_reply(&mut self, keys: &[LeaseKey], reply: Result<Vec<Renewal>, Error>) {
        let Some((sent_at, _)) = self.in_flight.take() else { return };
        let renewals = match reply {
            Ok(renewals) => renewals,
            Err(error) => {
                warn!(fault = %error, "a heartbeat failed");
                self.next_renewal = clock::now() + self.ledger.renewal_interval() / 4;
                return;
            }
        };
        for (key, renewal) in keys.iter().zip(renewals) {
            if renewal == Renewal::Lost {
                // The ledger also misses a lease that was let go in the meantime; that one was not lost.
                if !self.let_go.contains(key) {
                    metrics::STALE_WRITES.count(StaleWrite::Heartbeat);
                }
                if let Some(held) = self.held.remove(key) {
                    held.lose(NoticedBy::Ledger);
                }
            } else if let Some(held) = self.held.get_mut(key) {
                held.stop_at = sent_at + self.ledger.lease_length();
                if renewal == Renewal::CancelRequested {
                    held.signal.send_replace(StopSignal::Cancelled);
                }
            }
        }
    }
}

async fn reply(in_flight: &mut Option<(Instant, RenewalReply)>) -> (Vec<LeaseKey>, Result<Vec<Renewal>, Error>) {
    match in_flight {
        Some((_, reply)) => reply.await,
        None => std::future::pending().await,
    }
}
