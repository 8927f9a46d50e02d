//! Heartbeats: every lease of a worker renewed by one statement, from a thread with a runtime and a
//! database connection of its own, so that neither training nor the stages can starve them.
//!
//! Guarantees: whoever holds a lease is told to stop before another worker may claim its run. Never:
//! drops a database future; renews a lease that was let go.

use crate::adapters::ledger::{Error, Lease, Ledger, Renewal};
use crate::clock;
use crate::domain::identity::RunId;
use crate::telemetry::metrics::{self, NoticedBy, Stale};
use crate::worker::liveness::Heartbeat;
use std::collections::HashMap;
use std::pin::Pin;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tracing::{error, warn};

/// Why work on a run must stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It need not.
    Go,
    /// The lease is lost, or could not be renewed in time.
    Lost,
    /// A requester or operator cancelled the run.
    Cancelled,
}

/// Run and fence: what a lease is known by.
type Held = (RunId, i64);

enum Order {
    Hold { held: Held, stop_at: Instant, tell: watch::Sender<Stop> },
    LetGo(Held),
}

/// The heartbeat of one worker; ends when it is dropped.
pub struct Heart {
    orders: mpsc::UnboundedSender<Order>,
}

impl Heart {
    /// Starts the thread. It connects when there is a first lease.
    pub fn start(ledger: &Ledger, worker: String, heartbeat: Heartbeat) -> std::io::Result<Self> {
        let (orders, received) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let ledger = ledger.clone();
        std::thread::Builder::new().name("heartbeats".to_owned()).spawn(move || {
            runtime.block_on(async {
                match ledger.on_one_connection() {
                    Ok(ledger) => Beating::new(ledger, worker, heartbeat).run(received).await,
                    Err(error) => error!(fault = %error, "no heartbeats"),
                }
            });
        })?;
        Ok(Self { orders })
    }

    /// Keeps this lease alive until it is let go. Without a heart it counts as lost at once.
    pub(super) fn hold(&self, lease: &Lease) -> watch::Receiver<Stop> {
        let (tell, stop) = watch::channel(Stop::Go);
        let order = Order::Hold { held: (lease.run_id.clone(), lease.fence), stop_at: lease.stop_at, tell };
        if let Err(mpsc::error::SendError(Order::Hold { tell, .. })) = self.orders.send(order) {
            tell.send_replace(Stop::Lost);
        }
        stop
    }

    pub(super) fn let_go(&self, lease: &Lease) {
        // A heart that has stopped renews nothing either.
        let _ = self.orders.send(Order::LetGo((lease.run_id.clone(), lease.fence)));
    }
}

struct Lifeline {
    stop_at: Instant,
    tell: watch::Sender<Stop>,
}

type Answer = Pin<Box<dyn Future<Output = (Vec<Held>, Result<Vec<Renewal>, Error>)>>>;

struct Beating {
    ledger: Ledger,
    worker: String,
    lifelines: HashMap<Held, Lifeline>,
    /// Leases let go since the last question.
    let_go: Vec<Held>,
    next_beat: Instant,
    /// When the question was put, and its answer to come.
    asked: Option<(Instant, Answer)>,
    heartbeat: Heartbeat,
}

async fn until(at: Instant) {
    tokio::time::sleep_until(at.into()).await;
}

impl Beating {
    fn new(ledger: Ledger, worker: String, heartbeat: Heartbeat) -> Self {
        Self {
            ledger,
            worker,
            lifelines: HashMap::new(),
            let_go: Vec::new(),
            next_beat: clock::now(),
            asked: None,
            heartbeat,
        }
    }

    /// A third of the lease: two beats may fail.
    fn every(&self) -> Duration {
        self.ledger.lease_length() / 3
    }

    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        loop {
            let first_end = self.lifelines.values().map(|lifeline| lifeline.stop_at).min();
            match first_end {
                Some(_) => self.heartbeat.may_take(self.every()),
                // Without a lease there is nothing to renew.
                None => self.heartbeat.rests(),
            }
            tokio::select! {
                // Orders first: a lease that was let go is no lost one.
                biased;
                order = orders.recv() => match order {
                    Some(order) => self.obey(order),
                    None => break,
                },
                (held, answer) = answer(&mut self.asked) => self.hear(&held, answer),
                // Before giving up: a worker that slept through its lease hears so from the ledger.
                () = until(self.next_beat), if self.asked.is_none() && first_end.is_some() => self.ask(),
                () = until(first_end.unwrap_or_else(clock::now)), if first_end.is_some() => self.give_up_what_is_over(),
            }
        }
        if let Some((_, answer)) = self.asked.take() {
            // Nobody waits for it any more, but a database future is never dropped.
            let _ = answer.await;
        }
        self.ledger.close().await;
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Hold { held, stop_at, tell } => {
                let soon = clock::now() + self.every();
                self.next_beat = if self.lifelines.is_empty() { soon } else { self.next_beat.min(soon) };
                self.lifelines.insert(held, Lifeline { stop_at, tell });
            }
            Order::LetGo(held) => {
                // One that was given up before stays a loss.
                if self.lifelines.remove(&held).is_some() {
                    self.let_go.push(held);
                }
            }
        }
    }

    /// By this process's own clock, which started before the database's: while the database does not
    /// answer, work stops before another worker may claim the run.
    fn give_up_what_is_over(&mut self) {
        let at = clock::now();
        for ((run_id, _), lifeline) in self.lifelines.extract_if(|_, lifeline| lifeline.stop_at <= at) {
            warn!(run.id = %run_id, "the lease could not be renewed in time");
            lose(&lifeline, NoticedBy::OwnClock);
        }
    }

    fn ask(&mut self) {
        let asked_at = clock::now();
        self.next_beat = asked_at + self.every();
        self.let_go.clear();
        let held: Vec<Held> = self.lifelines.keys().cloned().collect();
        let (ledger, worker) = (self.ledger.clone(), self.worker.clone());
        let answer = Box::pin(async move {
            let answer = ledger.renew(&worker, &held).await;
            (held, answer)
        });
        self.asked = Some((asked_at, answer));
    }

    fn hear(&mut self, held: &[Held], answer: Result<Vec<Renewal>, Error>) {
        let Some((asked_at, _)) = self.asked.take() else { return };
        let renewals = match answer {
            Ok(renewals) => renewals,
            Err(error) => {
                warn!(fault = %error, "a heartbeat failed");
                self.next_beat = clock::now() + self.every() / 4;
                return;
            }
        };
        for (held, renewal) in held.iter().zip(renewals) {
            if renewal == Renewal::Lost {
                // What was let go in the meantime is nobody's loss.
                if !self.let_go.contains(held) {
                    metrics::STALE_WRITES.count(Stale::Heartbeat);
                }
                if let Some(lifeline) = self.lifelines.remove(held) {
                    lose(&lifeline, NoticedBy::Ledger);
                }
            } else if let Some(lifeline) = self.lifelines.get_mut(held) {
                lifeline.stop_at = asked_at + self.ledger.lease_length();
                if renewal == Renewal::CancelRequested {
                    lifeline.tell.send_replace(Stop::Cancelled);
                }
            }
        }
    }
}

fn lose(lifeline: &Lifeline, noticed_by: NoticedBy) {
    metrics::LEASES_LOST.count(noticed_by);
    lifeline.tell.send_replace(Stop::Lost);
}

async fn answer(asked: &mut Option<(Instant, Answer)>) -> (Vec<Held>, Result<Vec<Renewal>, Error>) {
    match asked {
        Some((_, answer)) => answer.await,
        None => std::future::pending().await,
    }
}
