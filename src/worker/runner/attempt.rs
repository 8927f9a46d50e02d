//! One attempt at a run: the value whose methods are the stages. [`RunAttempt::carry`] runs the six stages in order;
//! then `settle` writes the step that follows from their end into the ledger.

use super::evidence::RunEvidence;
use super::lease::Guard;
use super::open::Runner;
use super::outcome::{Interrupted, RunnerOutcome};
use super::stages::{BUNDLE, EVALUATE, GATE, PUBLISH, PUBLISH_AGAIN, RESOLVE, TRAIN};
use crate::adapters::ledger::{self, Guarded, Lease, Step};
use crate::clock;
use crate::domain::contract::{AttemptRecord, CompleteMarker, EvidencePack, GrantedLimits};
use crate::domain::run::{ExecutionMode, Failure, FailureCode, Outage, State, Transition};
use crate::failpoints::failpoint;
use crate::telemetry;
use crate::worker::liveness::Heartbeat;
use chrono::{DateTime, Utc};
use std::sync::OnceLock;
use tokio::sync::watch;
use tracing::{error, info, warn};

pub(super) struct RunAttempt<'a> {
    pub(super) runner: &'a Runner,
    pub(super) lease: &'a Lease,
    pub(super) guard: Guard<'a>,
    pub(super) evidence: RunEvidence<'a>,
    pub(super) started_at: DateTime<Utc>,
    /// The trainer's limits and threads on this worker; unset until the attempt trains.
    pub(super) granted: OnceLock<GrantedLimits>,
}

impl<'a> RunAttempt<'a> {
    pub(super) fn begin(
        runner: &'a Runner,
        lease: &'a Lease,
        give_back: watch::Receiver<bool>,
        heartbeat: &'a Heartbeat,
    ) -> Self {
        Self {
            runner,
            lease,
            guard: Guard::start(&runner.renewer, lease, give_back, heartbeat),
            evidence: RunEvidence::new(&runner.store, lease),
            started_at: clock::system_time().into(),
            granted: OnceLock::new(),
        }
    }

    /// Runs the stages that the lease's mode asks for, and settles the run. Fails only with an error of the ledger.
    pub(super) async fn run(self) -> Result<RunnerOutcome, ledger::Error> {
        let ended = match self.lease.mode {
            // On the heap, since this future is large.
            ExecutionMode::Full => Box::pin(self.carry()).await,
            ExecutionMode::PublishOnly => PUBLISH_AGAIN.around(self.publish_again()).await,
            ExecutionMode::None => Err(Interrupted::Lost),
        };
        self.settle(ended).await
    }

    async fn carry(&self) -> Result<State, Interrupted> {
        let resolved = RESOLVE.around(self.resolve()).await?;
        self.guard.check()?;
        self.emit_resolved(&resolved).await?;
        let trained = TRAIN.around_reusable(self.train(&resolved), |trained| trained.reused).await?;
        self.guard.check()?;
        let report = EVALUATE.around(self.evaluate(&resolved, trained)).await?;
        self.guard.check()?;
        let gated = GATE.around(self.gate(&resolved, &report)).await?;
        if gated.failed() || !self.lease.request.intent_kind.trains() {
            return self.end_at_gate(&resolved, &report, &gated).await;
        }
        let packed = BUNDLE.around(self.bundle(&resolved, &report, &gated)).await?;
        self.guard.check()?;
        PUBLISH.around(self.publish(&resolved, &report, &gated, &packed)).await
    }

    /// Writes the step that follows from the attempt's end into the ledger. An attempt that lost its lease writes
    /// nothing.
    async fn settle(&self, ended: Result<State, Interrupted>) -> Result<RunnerOutcome, ledger::Error> {
        let run_id = self.lease.run_id.clone();
        if let Err(interrupted) = &ended {
            interrupted.record();
        }
        self.note_outage(&ended);
        let of_worker = matches!(&ended, Err(Interrupted::Failed(failure)) if failure.outage == Some(Outage::Worker));
        let step = match ended {
            Ok(state) => return Ok(self.settled(state)),
            Err(Interrupted::Lost) => {
                warn!("the lease is lost; another worker goes on");
                return Ok(RunnerOutcome::Lost { run_id });
            }
            Err(Interrupted::Ledger(error)) => return Err(error),
            Err(Interrupted::HandBack) => {
                return Ok(match self.runner.ledger.release(self.lease).await? {
                    Guarded::Won(state) => RunnerOutcome::Settled { run_id, state },
                    Guarded::Lost => RunnerOutcome::Lost { run_id },
                });
            }
            Err(Interrupted::Cancelled) => {
                Step::with_reason(Transition::Cancel, FailureCode::Cancelled, "cancelled while it ran")
            }
            Err(Interrupted::Failed(failure)) => self.step_of(failure),
        };
        let how = step.reason.as_ref().map_or("", |reason| reason.code.as_str());
        // While the store or this machine is out, writing the record would fail as the attempt did.
        if !of_worker && let Err(Interrupted::Failed(failure)) = self.record(how).await {
            // The verdict matters more than its record: the ledger holds the reason as well.
            warn!(failure.message = %failure.message, "the attempt could not be recorded in the evidence store");
        }
        Ok(match self.runner.ledger.advance(self.lease, &[step]).await? {
            Guarded::Won(state) => self.settled(state),
            Guarded::Lost => RunnerOutcome::Lost { run_id },
        })
    }

    /// Makes the worker claim less after an attempt that met an outage of the store or of this machine, and as usual
    /// again after one that did not. An outage of an input changes nothing.
    fn note_outage(&self, ended: &Result<State, Interrupted>) {
        let claims = &self.runner.claims;
        match ended {
            Err(Interrupted::Failed(failure)) => match failure.outage {
                Some(Outage::Worker) => claims.met_outage(&failure.to_string()),
                Some(Outage::Input) => {}
                None => claims.went_through(),
            },
            Ok(_) => claims.went_through(),
            Err(Interrupted::Lost | Interrupted::HandBack | Interrupted::Cancelled | Interrupted::Ledger(_)) => {}
        }
    }

    fn step_of(&self, failure: Failure) -> Step {
        let Failure { code, message, outage } = &failure;
        if outage.is_some() {
            warn!(failure.code = %code, failure.message = %message, "what the attempt needs is away");
        } else {
            error!(failure.code = %code, failure.message = %message, "failed");
        }
        Step::of_failure(self.lease.mode, failure)
    }

    fn settled(&self, state: State) -> RunnerOutcome {
        telemetry::record_attribute("run.state", state.to_string());
        info!(run.state = %state, "settled");
        RunnerOutcome::Settled { run_id: self.lease.run_id.clone(), state }
    }

    pub(super) async fn advance(&self, steps: &[Step]) -> Result<State, Interrupted> {
        match self.runner.ledger.advance(self.lease, steps).await? {
            Guarded::Won(state) => Ok(state),
            Guarded::Lost => Err(Interrupted::Lost),
        }
    }

    /// Writes the last documents of a run that reached its verdict: the list of its evidence, the attempt's record, and
    /// `_COMPLETE`. `ended_with` is `PASS` or `GATE_FAIL`.
    pub(super) async fn complete(&self, ended_with: &str) -> Result<(), Interrupted> {
        let evidence = &self.evidence;
        let pack = EvidencePack {
            schema_version: EvidencePack::SCHEMA_VERSION,
            run_id: &self.lease.run_id,
            documents: &evidence.refs(),
        };
        let drift = FailureCode::EvidencePackImmutabilityViolation;
        let stored = evidence.document("evidence_pack", &evidence.folder.evidence_pack(), &pack, drift).await?;
        failpoint("complete.packed")?;
        self.record(ended_with).await?;
        let complete = CompleteMarker { evidence_pack: &stored.at };
        evidence.document("complete", &evidence.folder.complete(), &complete, drift).await?;
        Ok(())
    }

    /// Writes the record of this attempt. `ended_with` is `PASS`, `GATE_FAIL` or a failure code.
    pub(super) async fn record(&self, ended_with: &str) -> Result<(), Interrupted> {
        let (lease, evidence) = (self.lease, &self.evidence);
        let record = AttemptRecord {
            schema_version: AttemptRecord::SCHEMA_VERSION,
            run_id: &lease.run_id,
            attempt: lease.attempt,
            fence: lease.fence,
            worker: &lease.worker,
            build: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")),
            started_at_utc: self.started_at,
            ended_at_utc: clock::system_time().into(),
            ended_with,
            trainer: self.granted.get(),
        };
        let path = evidence.folder.attempt(lease.fence);
        evidence.document("attempt", &path, &record, FailureCode::ExecutionRecordImmutabilityViolation).await?;
        Ok(())
    }
}
