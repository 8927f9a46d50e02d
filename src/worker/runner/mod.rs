//! The runner: claims a run under a lease and carries it to a verdict.
//!
//! Guarantees: every document is durable before the ledger says so; a step that was done before a
//! crash is found and verified, not done again; whoever lost the lease stops and writes nothing.
//! Never: keeps a transaction open while work runs; trains in publish-only mode.

mod attempt;
mod bounds;
mod desk;
mod heart;
mod keeper;
mod lineage;
mod progress;
mod receipts;
mod stages;

pub use bounds::Ceiling;
pub use heart::Heart;
pub use progress::ProgressRate;

use crate::adapters::dataset::Inputs;
use crate::adapters::evidence::EvidenceStore;
use crate::adapters::ledger::{self, Guarded, Lease, Ledger, Step};
use crate::adapters::signing::PrivateKey;
use crate::domain::contract::OwnershipBoundaries;
use crate::domain::run::{ExecutionMode, Failure, FailureCode, State, Transition};
use crate::failpoints::Injected;
use crate::modelling::lineage::Places;
use crate::telemetry;
use crate::telemetry::metrics;
use crate::training::{TrainerCommand, TrainerRegistrations};
use crate::worker::liveness::Heartbeat;
use attempt::Attempt;
use desk::Desk;
use keeper::Keeper;
use stages::{BUNDLE, EVALUATE, GATE, PUBLISH, PUBLISH_AGAIN, RESOLVE, TRAIN};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::watch;
use tracing::{Instrument, error, info, info_span, warn};

/// Everything that a runner needs; shared by all slots of a worker.
pub struct Runner {
    /// The ledger.
    pub ledger: Ledger,
    /// Where evidence goes.
    pub store: EvidenceStore,
    /// What may be read.
    pub inputs: Inputs,
    /// Where inputs and evidence lie, in OpenLineage's terms; none where lineage is not told.
    pub lineage: Option<Places>,
    /// Who owns which outputs.
    pub boundaries: OwnershipBoundaries,
    /// Keeps leases alive.
    pub heart: Heart,
    /// How the trainer's child process is started.
    pub trainer: TrainerCommand,
    /// Commands that a profile may name.
    pub commands: TrainerRegistrations,
    /// What bundles are signed with.
    pub signing: Option<PrivateKey>,
    /// Whether a bundle that no key signed may be announced.
    pub allow_unsigned: bool,
    /// Folder for job directories.
    pub scratch: PathBuf,
    /// Threads of a fit.
    pub threads: u32,
    /// Upper bounds on a profile's limits.
    pub ceiling: Ceiling,
    /// How often a trainer's progress is told.
    pub progress_rate: ProgressRate,
    /// This worker's name in leases and events.
    pub worker: String,
}

/// What one turn of the loop did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunnerOutcome {
    /// Nothing to do.
    Idle,
    /// A run was worked on and now stands here.
    Settled {
        /// The run.
        run_id: crate::domain::identity::RunId,
        /// Its state.
        state: State,
    },
    /// The lease was lost; another worker goes on.
    Lost {
        /// The run.
        run_id: crate::domain::identity::RunId,
    },
}

/// Why an attempt ended before its verdict.
enum Interrupted {
    /// The run is bad.
    Failed(Failure),
    /// The lease is gone.
    Lost,
    /// The worker shuts down.
    HandBack,
    /// A requester or operator stops the run.
    Cancelled,
    /// The ledger cannot be reached.
    Ledger(ledger::Error),
}

impl Interrupted {
    /// Says in the span of the work in hand why it ended.
    fn tell_trace(&self) {
        match self {
            Self::Failed(failure) => telemetry::fail(failure.code.as_str()),
            Self::Lost => telemetry::fail(FailureCode::LeaseExpired.as_str()),
            Self::Cancelled => telemetry::fail(FailureCode::Cancelled.as_str()),
            Self::Ledger(_) => telemetry::fail("ledger_unavailable"),
            // Nothing went wrong: another attempt goes on.
            Self::HandBack => telemetry::note("run.handed_back", true),
        }
    }
}

impl From<Failure> for Interrupted {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Injected> for Interrupted {
    fn from(injected: Injected) -> Self {
        Self::Failed(Failure::new(FailureCode::EvidenceUnresolved, injected.to_string()))
    }
}

impl From<ledger::Error> for Interrupted {
    fn from(error: ledger::Error) -> Self {
        Self::Ledger(error)
    }
}

impl Runner {
    /// Works until `shutdown` turns true; the run in hand may go on until `give_back` does.
    pub async fn run(
        &self,
        mut shutdown: watch::Receiver<bool>,
        give_back: &watch::Receiver<bool>,
        heartbeat: &Heartbeat,
    ) {
        const IDLE: Duration = Duration::from_millis(250);
        const UNAVAILABLE: Duration = Duration::from_secs(2);
        while !*shutdown.borrow() {
            heartbeat.turned();
            let pause = match self.turn(give_back, heartbeat).await {
                Ok(RunnerOutcome::Idle) => IDLE,
                Ok(RunnerOutcome::Settled { .. } | RunnerOutcome::Lost { .. }) => continue,
                Err(error) => {
                    warn!(fault = %error, "the runner waits for the ledger");
                    UNAVAILABLE
                }
            };
            // Only the wait is cut short: a database future must never be.
            let _ = tokio::time::timeout(pause, shutdown.wait_for(|stop| *stop)).await;
        }
    }

    /// Rescues expired leases, withdraws overdue publications, writes receipts of those that succeeded; then
    /// claims one run and carries it as far as it goes. The run in hand is given back when `give_back` turns true.
    pub async fn run_once(&self, give_back: &watch::Receiver<bool>) -> Result<RunnerOutcome, ledger::Error> {
        self.turn(give_back, &Heartbeat::default()).await
    }

    async fn turn(
        &self,
        give_back: &watch::Receiver<bool>,
        heartbeat: &Heartbeat,
    ) -> Result<RunnerOutcome, ledger::Error> {
        for (run_id, state) in self.ledger.requeue_expired(&self.worker, 16).await? {
            warn!(run.id = %run_id, run.state = %state, "took a run from a worker that was lost");
        }
        for run_id in self.ledger.withdraw_overdue(&self.worker, 16).await? {
            warn!(run.id = %run_id, "the broker did not acknowledge a publication in time");
        }
        for run_id in self.ledger.give_up_answers(&self.worker, 16).await? {
            warn!(run.id = %run_id, "the registry did not answer a publication in time");
        }
        self.write_receipts(16).await?;
        let Some(lease) = self.ledger.claim(&self.worker).await? else {
            return Ok(RunnerOutcome::Idle);
        };
        let span = info_span!(
            "run",
            otel.name = "run attempt",
            run.id = %lease.run_id,
            run.key = %lease.run_key,
            run.fence = lease.fence,
            // The bridge takes an unsigned number for a text.
            run.attempt = i64::from(lease.attempt),
            run.mode = %lease.mode,
        );
        telemetry::hang(&span, lease.trace.as_ref(), lease.queued);
        self.work(lease, give_back, heartbeat).instrument(span).await
    }

    async fn work(
        &self,
        lease: Lease,
        give_back: &watch::Receiver<bool>,
        heartbeat: &Heartbeat,
    ) -> Result<RunnerOutcome, ledger::Error> {
        info!("started");
        let _busy = metrics::SLOTS_BUSY.hold(());
        let keeper = Keeper::start(&self.heart, &lease, give_back.clone(), heartbeat);
        let attempt = Attempt::begin(&lease);
        let ended = match lease.mode {
            // On the heap: the story of a run is a large future.
            ExecutionMode::Full => Box::pin(self.carry(&lease, &attempt, &keeper)).await,
            ExecutionMode::PublishOnly => PUBLISH_AGAIN.around(self.publish_again(&lease, &keeper)).await,
            ExecutionMode::None => Err(Interrupted::Lost),
        };
        self.settle(&lease, &attempt, ended).await
    }

    /// The story of a run.
    async fn carry(&self, lease: &Lease, attempt: &Attempt, keeper: &Keeper<'_>) -> Result<State, Interrupted> {
        let desk = Desk::new(&self.store, lease);
        let resolved = RESOLVE.around(self.resolve(&desk, lease, attempt)).await?;
        keeper.check()?;
        self.tell_resolved(lease, &resolved).await?;
        let training = self.train(&desk, lease, attempt, keeper, &resolved);
        let trained = TRAIN.around_reusable(training, |trained| trained.reused).await?;
        keeper.check()?;
        let report = EVALUATE.around(self.evaluate(&desk, lease, &resolved, trained)).await?;
        keeper.check()?;
        let receipt = GATE.around(self.gate(&desk, lease, &resolved, &report)).await?;
        if let Some(failed) = receipt.failed() {
            let account = self.account(&desk, lease, &resolved, &report, &receipt, None);
            return self.fail_gate(&desk, lease, attempt, failed, account).await;
        }
        if !lease.request.intent_kind.trains() {
            // The bundle that was measured exists already; there is nothing to pack or to announce.
            let account = self.account(&desk, lease, &resolved, &report, &receipt, None);
            return self.pass(&desk, lease, attempt, account).await;
        }
        let bundle = BUNDLE.around(self.bundle(&desk, &resolved, &report, &receipt)).await?;
        keeper.check()?;
        PUBLISH.around(self.publish(&desk, lease, attempt, &resolved, &report, &receipt, &bundle)).await
    }

    /// Takes these steps in one transaction; a lost lease ends the attempt.
    async fn advance(&self, lease: &Lease, steps: &[Step]) -> Result<State, Interrupted> {
        match self.ledger.advance(lease, steps).await? {
            Guarded::Won(state) => Ok(state),
            Guarded::Lost => Err(Interrupted::Lost),
        }
    }

    /// Writes down how the attempt ended.
    async fn settle(
        &self,
        lease: &Lease,
        attempt: &Attempt,
        ended: Result<State, Interrupted>,
    ) -> Result<RunnerOutcome, ledger::Error> {
        let run_id = lease.run_id.clone();
        if let Err(interrupted) = &ended {
            interrupted.tell_trace();
        }
        let step = match ended {
            Ok(state) => {
                telemetry::note("run.state", state.to_string());
                info!(run.state = %state, "settled");
                return Ok(RunnerOutcome::Settled { run_id, state });
            }
            Err(Interrupted::Lost) => {
                warn!("the lease is lost; another worker goes on");
                return Ok(RunnerOutcome::Lost { run_id });
            }
            Err(Interrupted::Ledger(error)) => return Err(error),
            Err(Interrupted::HandBack) => {
                return Ok(match self.ledger.release(lease).await? {
                    Guarded::Won(state) => RunnerOutcome::Settled { run_id, state },
                    Guarded::Lost => RunnerOutcome::Lost { run_id },
                });
            }
            Err(Interrupted::Cancelled) => {
                Step::with_reason(Transition::Cancel, FailureCode::Cancelled, "cancelled while it ran")
            }
            Err(Interrupted::Failed(failure)) => {
                let transition = match (lease.mode, failure.code.is_retryable()) {
                    (ExecutionMode::PublishOnly, _) => Transition::DeferPublish,
                    (ExecutionMode::Full | ExecutionMode::None, true) => Transition::Requeue,
                    (ExecutionMode::Full | ExecutionMode::None, false) => Transition::Fail,
                };
                error!(failure.code = %failure.code, failure.message = %failure.message, "failed");
                Step::with_reason(transition, failure.code, failure.message)
            }
        };
        let how = step.reason.as_ref().map_or("", |reason| reason.code.as_str());
        if let Err(Interrupted::Failed(failure)) =
            self.record_attempt(&Desk::new(&self.store, lease), attempt, how).await
        {
            // The verdict matters more than its record: the ledger holds the reason as well.
            warn!(failure.message = %failure.message, "the attempt could not be recorded in the evidence store");
        }
        Ok(match self.ledger.advance(lease, &[step]).await? {
            Guarded::Won(state) => {
                telemetry::note("run.state", state.to_string());
                info!(run.state = %state, "settled");
                RunnerOutcome::Settled { run_id, state }
            }
            Guarded::Lost => RunnerOutcome::Lost { run_id },
        })
    }
}
