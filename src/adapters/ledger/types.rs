//! What the ledger takes and gives.

use crate::domain::contract::{
    self, AllowList, BundlePublication, EventReason, EventRefs, Message, OpenedMessage, Rejection, TrainBuildRequest,
};
use crate::domain::grant::{Grant, Quota};
use crate::domain::identity::{Digest, RunId, RunKey, near_key};
use crate::domain::run::{ExecutionMode, FailureCode, OutboxKind, State, Transition};
use crate::domain::trace_context::TraceContext;
use crate::modelling::lineage::DatasetIo;
use serde::Serialize;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Where a record stood.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Coordinates {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

impl fmt::Display for Coordinates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

impl FromStr for Coordinates {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.rsplitn(3, '/');
        let offset = parts.next().and_then(|part| part.parse().ok());
        let partition = parts.next().and_then(|part| part.parse().ok());
        match (parts.next(), partition, offset) {
            (Some(topic), Some(partition), Some(offset)) if !topic.is_empty() => {
                Ok(Self { topic: topic.to_owned(), partition, offset })
            }
            _ => Err("a record is named topic/partition/offset"),
        }
    }
}

/// A record as it stood on the request topic.
#[derive(Debug, Clone)]
pub struct SourceRecord {
    /// Where it stood.
    pub coordinates: Coordinates,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Vec<u8>,
    /// W3C trace context, carried on to the events.
    pub traceparent: Option<String>,
    /// W3C trace state.
    pub tracestate: Option<String>,
}

/// A record with all that can be known about it without the ledger.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub(super) record: SourceRecord,
    /// Of its bytes.
    pub(super) sha256: Digest,
    /// The typed message, or why it is refused.
    pub(super) parsed: Result<Message, Rejection>,
    /// Of training requests.
    pub(super) fingerprint: Option<Fingerprint>,
    /// What its requester may ask for, where there is a policy.
    pub(super) grant: Option<Grant>,
    /// JSON pointer to the message in the record's value.
    pub(super) place: String,
}

/// What identity makes of a request.
#[derive(Debug, Clone)]
pub(super) struct Fingerprint {
    pub(super) run_key: RunKey,
    pub(super) run_id: RunId,
    pub(super) near_key: Digest,
    pub(super) payload_digest: Digest,
}

impl Arrival {
    /// Parses a record. All work that a record needs before the ledger is asked is done here, outside of
    /// any transaction.
    pub fn read(record: SourceRecord, allow: &AllowList) -> Self {
        let OpenedMessage { message, wrapping } = contract::open(&record.value, allow);
        Self::judged(record, message, None).at(wrapping.pointer)
    }

    /// The same of a record that was judged already; with what its requester may ask for, where there is a
    /// policy.
    pub fn judged(record: SourceRecord, parsed: Result<Message, Rejection>, grant: Option<Grant>) -> Self {
        let fingerprint = match &parsed {
            Ok(Message::Train(request)) => Some(Fingerprint::of(request)),
            Ok(Message::PublishRetry(_) | Message::Cancel(_)) | Err(_) => None,
        };
        Self { sha256: Digest::of(&record.value), record, parsed, fingerprint, grant, place: String::new() }
    }

    /// The same of a message that stands at this place of its record's value, where pointers lead.
    #[must_use]
    pub fn at(self, place: String) -> Self {
        Self { place, ..self }
    }

    /// The requester's trace context, where the record has a valid one.
    pub fn asked_under(&self) -> Option<TraceContext> {
        TraceContext::read(self.record.traceparent.as_deref(), self.record.tracestate.as_deref())
    }

    /// The same, so that what becomes of it hangs under this context.
    #[must_use]
    pub fn under(mut self, context: Option<&TraceContext>) -> Self {
        self.record.traceparent = context.map(TraceContext::traceparent);
        self.record.tracestate = context.and_then(TraceContext::tracestate).map(str::to_owned);
        self
    }

    /// The typed message, or why it is refused.
    pub fn parsed(&self) -> &Result<Message, Rejection> {
        &self.parsed
    }

    /// The bounds on its requester's new runs, where there are any.
    pub(super) fn quota(&self) -> Option<Quota> {
        self.grant.as_ref().map(Grant::quota).filter(|quota| *quota != Quota::default())
    }

    /// The training request with its identity, where it is one.
    pub(super) fn train(&self) -> Option<(&Arc<TrainBuildRequest>, &Fingerprint)> {
        match (&self.parsed, &self.fingerprint) {
            (Ok(Message::Train(request)), Some(fingerprint)) => Some((request, fingerprint)),
            _ => None,
        }
    }
}

impl Fingerprint {
    fn of(request: &TrainBuildRequest) -> Self {
        let meaning = request.meaning();
        let run_key = RunKey::of(&meaning);
        Self {
            run_id: run_key.run_id(),
            run_key,
            near_key: near_key(&meaning),
            payload_digest: request.payload_digest(),
        }
    }
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
    pub request: Arc<TrainBuildRequest>,
    /// Whether any request of the run allows publication, at the time of the claim.
    pub publish_allowed: bool,
    /// Evidence so far.
    pub refs: EventRefs,
    /// The trace that the run belongs to: where its request was admitted.
    pub trace: Option<TraceContext>,
    /// How long it was ready before somebody claimed it.
    pub queued: Duration,
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
    /// What OpenLineage is told that was read and written, where this step ends the work.
    pub lineage: Option<DatasetIo>,
}

impl Step {
    /// A step that brings evidence.
    pub fn to(transition: Transition, refs: EventRefs) -> Self {
        Self { transition, refs, reason: None, publication: None, lineage: None }
    }

    /// A step with its reason.
    pub fn with_reason(transition: Transition, code: FailureCode, message: impl Into<String>) -> Self {
        let reason = Some(EventReason::new(code, message));
        Self { transition, refs: EventRefs::new(), reason, publication: None, lineage: None }
    }

    /// A step that puts a publication into the outbox. Left out where no request of the run allows
    /// publication.
    pub fn publish(transition: Transition, publication: BundlePublication) -> Self {
        Self { transition, refs: EventRefs::new(), reason: None, publication: Some(publication), lineage: None }
    }
}

/// What became of a lease's renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// It holds for another full length.
    Held,
    /// It is lost.
    Lost,
    /// It holds, and somebody wants the run stopped.
    CancelRequested,
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

/// A record to be produced, exactly as it will be on the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Row id.
    pub id: i64,
    /// The run or record whose order it belongs to.
    pub stream: String,
    /// The shard of the stream.
    pub shard: i16,
    /// What it is.
    pub kind: OutboxKind,
    /// Record key.
    pub key: Option<Vec<u8>>,
    /// Record value.
    pub value: Vec<u8>,
    /// Record headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// A share of the streams, held by one relay at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// 0 to 15.
    pub shard: i16,
    /// The number that every mark must carry.
    pub fence: i64,
}

/// A record that the broker acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Row id.
    pub id: i64,
    /// What it is, which decides its table.
    pub kind: OutboxKind,
    /// The shard under which it was sent.
    pub shard: Shard,
    /// Where it stands now.
    pub coordinates: Coordinates,
}
