//! What a worker holds of a run, and what it may do with it.

use crate::domain::contract::{BundlePublication, EventReason, EventRefs, TrainBuildRequest};
use crate::domain::identity::{RunId, RunKey};
use crate::domain::run::{ExecutionMode, FailureCode, State, Transition};
use crate::domain::trace_context::TraceContext;
use crate::modelling::lineage::DatasetIo;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A worker's right to work on a run.
#[derive(Debug, Clone)]
pub struct Lease {
    pub run_id: RunId,
    pub run_key: RunKey,
    /// Every write must name it: the next claim raises it.
    pub fence: i64,
    pub mode: ExecutionMode,
    /// Full attempts, this one included.
    pub attempt: u32,
    pub worker: String,
    /// The first request of the run.
    pub request: Arc<TrainBuildRequest>,
    /// Whether any request of the run allows publication, at the time of the claim.
    pub publish_allowed: bool,
    /// Evidence of earlier attempts.
    pub refs: EventRefs,
    /// The span under which the first request was admitted.
    pub trace: Option<TraceContext>,
    /// How long the run was ready before it was claimed.
    pub queued: Duration,
    /// The worker stops at this instant of its own monotonic clock, unless a renewal has moved it.
    pub stop_at: Instant,
}

/// One step of a run. Several can be taken in one transaction.
#[derive(Debug, Clone)]
pub struct Step {
    pub transition: Transition,
    /// Evidence that became durable before this step; merged into the run's.
    pub refs: EventRefs,
    pub reason: Option<EventReason>,
    /// Goes into the outbox with this step.
    pub publication: Option<BundlePublication>,
    /// The datasets that lineage reports as read and written, where this step ends the work.
    pub lineage: Option<DatasetIo>,
}

impl Step {
    pub fn to(transition: Transition, refs: EventRefs) -> Self {
        Self { transition, refs, reason: None, publication: None, lineage: None }
    }

    pub fn with_reason(transition: Transition, code: FailureCode, message: impl Into<String>) -> Self {
        Self { reason: Some(EventReason::new(code, message)), ..Self::to(transition, EventRefs::new()) }
    }

    /// The ledger leaves it out where no request of the run allows publication.
    pub fn publish(transition: Transition, publication: BundlePublication) -> Self {
        Self { publication: Some(publication), ..Self::to(transition, EventRefs::new()) }
    }
}

/// What became of the renewal of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// It holds for another full length.
    Held,
    Lost,
    /// It holds, and somebody wants the run stopped.
    CancelRequested,
}

/// Whether a guarded write took place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a lost lease means that the work must stop"]
pub enum Guarded {
    /// The run now is in this state.
    Won(State),
    /// Nothing was written: the lease is lost, or the run is not where the write needs it.
    Lost,
}
