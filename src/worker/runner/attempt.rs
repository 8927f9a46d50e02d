//! One attempt at a run: the value whose methods are the stages.

use super::evidence::RunEvidence;
use super::interrupted::Interrupted;
use super::lease::Guard;
use super::shared::Runner;
use crate::adapters::ledger::{Guarded, Lease, Step};
use crate::clock;
use crate::domain::contract::{AttemptRecord, CompleteMarker, EvidencePack, GrantedLimits};
use crate::domain::run::{FailureCode, State};
use crate::failpoints::failpoint;
use crate::worker::liveness::Heartbeat;
use chrono::{DateTime, Utc};
use std::sync::OnceLock;
use tokio::sync::watch;

pub(super) struct RunAttempt<'a> {
    pub(super) runner: &'a Runner,
    pub(super) lease: &'a Lease,
    pub(super) guard: Guard<'a>,
    pub(super) evidence: RunEvidence<'a>,
    pub(super) started_at: DateTime<Utc>,
    /// Known once the attempt trains.
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

    /// Takes these steps in one transaction.
    pub(super) async fn advance(&self, steps: &[Step]) -> Result<State, Interrupted> {
        match self.runner.ledger.advance(self.lease, steps).await? {
            Guarded::Won(state) => Ok(state),
            Guarded::Lost => Err(Interrupted::Lost),
        }
    }

    /// Closes the evidence of a run that reached its verdict: pack, attempt, `_COMPLETE`. `ended_with` is `PASS` or
    /// `GATE_FAIL`.
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
