//! How a turn of a slot ends, and why an attempt may end before its verdict.

use crate::adapters::ledger;
use crate::domain::identity::RunId;
use crate::domain::run::{Failure, FailureCode, Outage, State};
use crate::failpoints::Injected;
use crate::telemetry;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunnerOutcome {
    /// No run was claimed.
    Idle,
    /// A run was worked on and now stands in this state.
    Settled { run_id: RunId, state: State },
    /// The lease was lost, and another worker may have claimed the run.
    Lost { run_id: RunId },
}

pub(super) enum Interrupted {
    Failed(Failure),
    /// Another worker may have claimed the run.
    Lost,
    /// The worker shuts down; the attempt is not counted.
    HandBack,
    /// A requester or an operator stops the run.
    Cancelled,
    Ledger(ledger::Error),
}

impl Interrupted {
    /// Records in the current span why the attempt stopped.
    pub(super) fn record(&self) {
        match self {
            Self::Failed(failure) => telemetry::record_failure(failure.code.as_str()),
            Self::Lost => telemetry::record_failure(FailureCode::LeaseExpired.as_str()),
            Self::Cancelled => telemetry::record_failure(FailureCode::Cancelled.as_str()),
            Self::Ledger(_) => telemetry::record_failure("ledger_unavailable"),
            // Nothing went wrong: another attempt goes on.
            Self::HandBack => telemetry::record_attribute("run.handed_back", true),
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
        Self::Failed(Failure::outage(Outage::Worker, FailureCode::EvidenceUnresolved, injected.to_string()))
    }
}

impl From<ledger::Error> for Interrupted {
    fn from(error: ledger::Error) -> Self {
        Self::Ledger(error)
    }
}
