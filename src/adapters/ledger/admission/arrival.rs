//! A record with all that can be known about it before the ledger is asked.

use crate::adapters::ledger::Coordinates;
use crate::domain::contract::{self, AllowList, Message, OpenedMessage, Rejection, TrainBuildRequest};
use crate::domain::grant::{Grant, Quota};
use crate::domain::identity::{Digest, RunId, RunKey, near_key};
use crate::domain::trace_context::TraceContext;
use std::sync::Arc;

/// A record as it stood on the request topic.
#[derive(Debug, Clone)]
pub struct SourceRecord {
    pub coordinates: Coordinates,
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
    /// The events of what becomes of the record have this context.
    pub trace: Option<TraceContext>,
}

#[derive(Debug, Clone)]
pub struct Arrival {
    pub(in crate::adapters::ledger) record: SourceRecord,
    pub(in crate::adapters::ledger) sha256: Digest,
    pub(in crate::adapters::ledger) parsed: Result<Message, Rejection>,
    /// Of training requests.
    fingerprint: Option<Fingerprint>,
    /// What its requester may ask for; none where there is no policy.
    pub(super) grant: Option<Grant>,
    /// JSON pointer to the message in the record's value.
    pub(super) pointer: String,
}

#[derive(Debug, Clone)]
pub(super) struct Fingerprint {
    pub(super) run_key: RunKey,
    pub(super) run_id: RunId,
    pub(super) near_key: Digest,
    pub(super) payload_digest: Digest,
}

impl Arrival {
    /// Parses a record, outside of any transaction.
    pub fn read(record: SourceRecord, allow: &AllowList) -> Self {
        let OpenedMessage { message, wrapping } = contract::open(&record.value, allow);
        Self::judged(record, message, None).at(wrapping.pointer)
    }

    /// A record that was parsed and judged already; `grant` is what its requester may ask for, where there is a policy.
    pub fn judged(record: SourceRecord, parsed: Result<Message, Rejection>, grant: Option<Grant>) -> Self {
        let fingerprint = match &parsed {
            Ok(Message::Train(request)) => Some(Fingerprint::of(request)),
            Ok(Message::PublishRetry(_) | Message::Cancel(_)) | Err(_) => None,
        };
        Self { sha256: Digest::of(&record.value), record, parsed, fingerprint, grant, pointer: String::new() }
    }

    /// The same, where the message stands at this JSON pointer of the record's value.
    #[must_use]
    pub fn at(self, pointer: String) -> Self {
        Self { pointer, ..self }
    }

    /// The requester's trace context, where the record has a valid one.
    pub fn requested_under(&self) -> Option<&TraceContext> {
        self.record.trace.as_ref()
    }

    /// The same, so that the events of what becomes of it have this context.
    #[must_use]
    pub fn under(mut self, context: Option<TraceContext>) -> Self {
        self.record.trace = context;
        self
    }

    pub fn parsed(&self) -> &Result<Message, Rejection> {
        &self.parsed
    }

    /// The bounds on its requester's new runs, where there are any.
    pub(super) fn quota(&self) -> Option<Quota> {
        self.grant.as_ref().map(Grant::quota).filter(|quota| *quota != Quota::default())
    }

    /// Whose quota its new run counts against.
    pub(super) fn counted_for(&self) -> Option<&str> {
        self.quota().and(self.train()).map(|(request, _)| request.requester_principal.as_str())
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
