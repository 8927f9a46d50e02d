//! What the ledger takes and gives.

use crate::contract::{BundlePublication, EventReason, EventRefs, Message, Rejection, TrainBuildRequest};
use crate::identity::{RunId, RunKey};
use crate::run::{ExecutionMode, FailureCode, State, Transition};

/// Where a record stood.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Coordinates {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// A record of the request topic with what parsing made of it.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Where it stood.
    pub coordinates: Coordinates,
    /// Its key, as it came.
    pub key: Option<Vec<u8>>,
    /// Its value, as it came.
    pub value: Vec<u8>,
    /// W3C trace context, carried on to the events.
    pub traceparent: Option<String>,
    /// W3C trace state.
    pub tracestate: Option<String>,
    /// The typed message, or why it is refused.
    pub parsed: Result<Message, Rejection>,
}

/// What became of a record. Exactly one per record, for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A new meaning: a run was created.
    Admitted {
        /// The run.
        run_id: RunId,
    },
    /// Same request id, same payload; also a redelivery of a record that was already handled.
    DuplicateRequest {
        /// The run of the first one.
        run_id: RunId,
    },
    /// Another request id, same meaning.
    DuplicateRun {
        /// The run that they share.
        run_id: RunId,
    },
    /// Same request id, other payload; the first one stands.
    Conflict {
        /// The run of the first one.
        run_id: RunId,
        /// Fields that differ, as JSON pointers.
        differs: Vec<String>,
    },
    /// A bad message.
    Rejected {
        /// Why.
        code: FailureCode,
    },
    /// A command was applied.
    CommandApplied {
        /// The run.
        run_id: RunId,
    },
    /// A command could not be applied.
    CommandRejected {
        /// Why.
        code: FailureCode,
    },
}

/// A worker's right to work on a run.
#[derive(Debug, Clone)]
pub struct Lease {
    /// The run.
    pub run_id: RunId,
    /// Its key.
    pub run_key: RunKey,
    /// The number that every write must carry.
    pub fence: i64,
    /// What the work is.
    pub mode: ExecutionMode,
    /// Full attempts, this one included.
    pub attempt: u32,
    /// The worker that holds it.
    pub worker: String,
    /// The first request of the run.
    pub request: TrainBuildRequest,
    /// Whether any request of the run allows publication, at the time of the claim.
    pub publish_allowed: bool,
    /// Evidence so far.
    pub refs: EventRefs,
    /// The worker stops itself at this instant unless a heartbeat moved it (its own monotonic clock).
    pub stop_at: std::time::Instant,
}

/// One step of a run, with what it brings. Several steps can be taken in one transaction.
#[derive(Debug, Clone)]
pub struct Step {
    /// The transition.
    pub transition: Transition,
    /// Evidence that became durable before this step; merged into the run's.
    pub refs: EventRefs,
    /// Why, where there is a why.
    pub reason: Option<EventReason>,
    /// The publication to put into the outbox with this step.
    pub publication: Option<BundlePublication>,
}

/// Whether a guarded write took place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a lost lease means that the work must stop"]
pub enum Guarded {
    /// It did; the run now stands here.
    Won(State),
    /// It did not: the lease is lost, or the run moved on.
    Lost,
}

/// What an outbox row is, which decides its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutboxKind {
    /// `RunLifecycleEvent`.
    Lifecycle,
    /// `BundlePublication`.
    Publication,
    /// A refused record.
    DeadLetter,
}

/// A record to be produced, exactly as it will be on the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Row id.
    pub id: i64,
    /// The run or request whose order it belongs to.
    pub stream: String,
    /// Position in the stream.
    pub seq: i64,
    /// What it is.
    pub kind: OutboxKind,
    /// Record key.
    pub key: Option<Vec<u8>>,
    /// Record value.
    pub value: Vec<u8>,
    /// Record headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// Postgres went wrong. Never a run outcome: the caller waits and tries again, or stops.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Not reachable, restarting, out of connections, a timeout, a serialisation failure: try again.
    #[error("the ledger is not available: {0}")]
    Unavailable(String),
    /// COMMIT was sent and its answer lost: read back before doing anything else.
    #[error("the outcome of a commit is unknown: {0}")]
    CommitUnknown(String),
    /// A broken invariant, a missing migration, a rejected statement: a defect or a wrong set-up.
    #[error("the ledger refused: {0}")]
    Refused(String),
}
