//! A record of the request topic with everything that is known about it before the ledger is asked.

use crate::adapters::ledger::Coordinates;
use crate::adapters::ledger::request_key::request_key;
use crate::domain::contract::{
    self, AllowList, CutRecord, MAX_MESSAGE_BYTES, Message, OpenedMessage, RejectedIds, Rejection, TrainBuildRequest,
};
use crate::domain::grant::{Grant, Quota};
use crate::domain::identity::{Digest, RunId, RunKey, near_key};
use crate::domain::run::FailureCode;
use crate::domain::trace_context::TraceContext;
use std::sync::Arc;

/// A record as it stood on the request topic.
#[derive(Debug, Clone)]
pub struct SourceRecord {
    pub coordinates: Coordinates,
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
    /// Set if `key` and `value` are only the beginning of the record's; `None` if the record is whole.
    pub cut: Option<CutRecord>,
    /// Trace context of the requester; the events about this record carry it. `None` if the record has no valid one.
    pub trace: Option<TraceContext>,
}

#[derive(Debug, Clone)]
pub struct Arrival {
    pub(in crate::adapters::ledger) record: SourceRecord,
    pub(in crate::adapters::ledger) sha256: Digest,
    /// Tells the record from others at the same coordinates; `None` if it does not come from Kafka.
    pub(super) fingerprint_of_record: Option<i64>,
    pub(in crate::adapters::ledger) parsed: Result<Message, Rejection>,
    /// Identity of the run that is asked for; `None` unless the record is a training request.
    fingerprint: Option<Fingerprint>,
    /// What the requester may ask for; `None` if the worker has no policy.
    pub(super) grant: Option<Grant>,
    /// Where the message stands in the record's value, as `Wrapping::pointer` writes it; empty if the value is the
    /// message itself.
    pub(super) pointer: String,
    /// The key of the message's id where ids belong to principals; `None` if the record was rejected.
    pub(super) owned_key: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Fingerprint {
    pub(super) run_key: RunKey,
    pub(super) run_id: RunId,
    pub(super) near_key: Digest,
    pub(super) payload_digest: Digest,
}

impl SourceRecord {
    /// Keeps only the beginning of the record, and notes why the record is refused.
    #[must_use]
    fn cut_for(mut self, rejection: Rejection) -> Self {
        let known = self.cut.take().map(|cut| CutRecord { rejection: rejection.clone(), ..cut });
        self.cut = Some(known.unwrap_or_else(|| CutRecord::of(self.key.as_deref(), &self.value, rejection)));
        self.key = self.key.map(|key| CutRecord::beginning(&key).to_vec());
        self.value = CutRecord::beginning(&self.value).to_vec();
        self
    }
}

impl Arrival {
    /// Parses a record, outside of any transaction.
    pub fn read(record: SourceRecord, allow: &AllowList) -> Self {
        if let Some(cut) = &record.cut {
            let refused = Err(cut.rejection.clone());
            return Self::judged(record, refused, None);
        }
        let OpenedMessage { message, wrapping } = contract::open(&record.value, allow);
        Self::judged(record, message, None).at(wrapping.pointer)
    }

    /// Wraps a record that was parsed and judged already. `grant` is what its requester may ask for; `None` without a
    /// policy.
    pub fn judged(record: SourceRecord, parsed: Result<Message, Rejection>, grant: Option<Grant>) -> Self {
        let record = match &parsed {
            Err(rejection) if record.value.len() > MAX_MESSAGE_BYTES => record.cut_for(rejection.clone()),
            Ok(_) | Err(_) => record,
        };
        let fingerprint = match &parsed {
            Ok(Message::Train(request)) => Some(Fingerprint::of(request)),
            Ok(Message::PublishRetry(_) | Message::Cancel(_)) | Err(_) => None,
        };
        let sha256 = record.cut.as_ref().map_or_else(|| Digest::of(&record.value), |cut| cut.value_sha256);
        let key_of = |message: &Message| request_key(message.requester_principal(), message.request_id());
        let owned_key = parsed.as_ref().ok().map(key_of);
        let pointer = String::new();
        Self { sha256, fingerprint_of_record: None, record, parsed, fingerprint, grant, pointer, owned_key }
    }

    /// Builds the refusal of a record that could not be judged.
    pub fn unjudged(record: SourceRecord, why: &str) -> Self {
        let rejection = Rejection::new(FailureCode::MessageUnreadable, "", why, RejectedIds::default());
        Self::judged(record, Err(rejection), None)
    }

    /// Builds the refusal of a record that the ledger could not store as what it is.
    #[must_use]
    pub fn unreadable(self, why: &str) -> Self {
        let code = FailureCode::MessageUnreadable;
        let rejection = match &self.parsed {
            Ok(message) => message.refused(code, "", why),
            Err(rejection) => Rejection::new(code, "", why, rejection.ids.clone()),
        };
        let fingerprint_of_record = self.fingerprint_of_record;
        Self { fingerprint_of_record, ..Self::judged(self.record, Err(rejection), None) }
    }

    pub fn record(&self) -> &SourceRecord {
        &self.record
    }

    /// Notes the fingerprint that tells the record from others at the same coordinates.
    #[must_use]
    pub fn fingerprinted(self, fingerprint: i64) -> Self {
        Self { fingerprint_of_record: Some(fingerprint), ..self }
    }

    /// Notes at which JSON pointer of the record's value the message stands.
    #[must_use]
    pub fn at(self, pointer: String) -> Self {
        Self { pointer, ..self }
    }

    /// Returns the requester's trace context; `None` if the record carries no valid one.
    pub fn requested_under(&self) -> Option<&TraceContext> {
        self.record.trace.as_ref()
    }

    /// Replaces the trace context that the events about this record carry.
    #[must_use]
    pub fn under(mut self, context: Option<TraceContext>) -> Self {
        self.record.trace = context;
        self
    }

    pub fn parsed(&self) -> &Result<Message, Rejection> {
        &self.parsed
    }

    /// Returns the bounds on new runs of the requester; `None` if there are none.
    pub(super) fn quota(&self) -> Option<Quota> {
        self.grant.as_ref().map(Grant::quota).filter(|quota| *quota != Quota::default())
    }

    /// Returns the principal whose quota a new run of this record counts against; `None` if no quota bounds the
    /// record's requester.
    pub(super) fn counted_for(&self) -> Option<&str> {
        self.quota().and(self.train()).map(|(request, _)| request.requester_principal.as_str())
    }

    /// Returns the training request with its identity; `None` if the record is something else or was rejected.
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
