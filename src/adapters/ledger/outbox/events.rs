//! Builds events, publications and dead letters exactly as they will be on their topics.

use super::draft::{CloudEventHeaders, OutboxDraft, trace};
use crate::adapters::ledger::Arrival;
use crate::adapters::ledger::row::LockedRun;
use crate::domain::contract::{
    BundlePublication, CutRecord, Deduplication, EventProgress, EventReason, EventRefs, EventType, Rejection,
    RunLifecycleEvent, event_id, without_many_inputs,
};
use crate::domain::identity::{Digest, RunId};
use crate::domain::run::{OutboxKind, Transition};
use chrono::{DateTime, Utc};

/// An event names at most this many inputs of its run: a request may name a thousand, and each step and each request that
/// joins emits an event.
const EVENT_INPUTS: usize = 64;

/// What an event says besides the run's state.
pub struct NewEvent {
    pub event_type: EventType,
    pub reason: Option<EventReason>,
    /// The request that the event is about; `None` means the run's first request.
    pub request_id: Option<String>,
    /// Why a request joined the run; `None` if the event is about something else.
    pub deduplication: Option<Deduplication>,
    pub near_misses: Vec<RunId>,
    pub progress: Option<EventProgress>,
}

impl NewEvent {
    pub fn of(event_type: EventType, reason: Option<EventReason>) -> Self {
        Self { event_type, reason, request_id: None, deduplication: None, near_misses: Vec::new(), progress: None }
    }

    pub fn of_step(transition: Transition, reason: Option<EventReason>) -> Self {
        let is_exhausted = reason.as_ref().is_some_and(|reason| !reason.retryable);
        let event_type = match transition {
            Transition::DeferPublish if is_exhausted => EventType::PublishExhausted,
            Transition::Start => EventType::RunStarted,
            Transition::FinishEvaluation => EventType::RunEvalReady,
            Transition::PassGate => EventType::RunGatePassed,
            Transition::FailGate => EventType::RunGateFailed,
            Transition::Fail => EventType::RunFailed,
            Transition::Requeue | Transition::Reopen => EventType::RunRequeued,
            Transition::Cancel => EventType::RunCancelled,
            Transition::RequestPublish | Transition::DeferPublish => EventType::PublishPending,
            Transition::StartPublish => EventType::PublishRetryStarted,
            Transition::Publish => EventType::PublishPublished,
        };
        Self::of(event_type, reason)
    }
}

/// Builds an event with the run's next number; the caller increments `next_seq`.
pub fn lifecycle_draft(run: &LockedRun, event: NewEvent, at: DateTime<Utc>, worker: &str) -> OutboxDraft {
    let request = &run.request;
    let id = event_id(run.run_id.as_str(), run.next_seq as u64, event.event_type);
    let body = RunLifecycleEvent {
        schema_version: RunLifecycleEvent::SCHEMA_VERSION.to_owned(),
        event_id: id.clone(),
        event_type: event.event_type,
        run_id: Some(run.run_id.clone()),
        run_key: Some(run.run_key),
        seq: run.next_seq as u64,
        state: Some(run.state),
        execution_mode: Some(run.mode),
        attempt: run.full_run_attempts as u32,
        occurred_at_utc: at,
        request_id: Some(event.request_id.unwrap_or_else(|| request.request_id.clone())),
        platform_run_id: Some(request.platform_run_id.clone()),
        intent_kind: Some(request.intent_kind),
        target_scope: Some(request.target_scope.clone()),
        reason: event.reason,
        refs: without_many_inputs(&run.refs, EVENT_INPUTS),
        provenance: Some(request.revisions()),
        deduplication: event.deduplication,
        near_misses: event.near_misses,
        progress: event.progress,
        record_sha256: None,
        worker: worker.to_owned(),
    };
    OutboxDraft {
        stream: run.run_id.to_string(),
        seq: Some(run.next_seq),
        kind: OutboxKind::Lifecycle,
        key: Some(run.run_id.as_str().as_bytes().to_vec()),
        value: Some(json_bytes(&body)),
        headers: CloudEventHeaders::of_run(run, &id, format!("io.modelfactory.{}", event.event_type), at),
        event_id: id,
        source: None,
    }
}

/// Builds a publication; the caller inserts it after the event of its step, in the same stream. The id contains the
/// attempts, since a second publication of the same bundle has the same value and must be another record.
pub fn publication_draft(run: &LockedRun, publication: &BundlePublication, at: DateTime<Utc>) -> OutboxDraft {
    let value = json_bytes(publication);
    let digest = Digest::of(&value).to_string();
    let id = format!("pub_{}_{}_{}", &digest[..32], run.full_run_attempts, run.publish_retry_attempts);
    OutboxDraft {
        stream: run.run_id.to_string(),
        seq: None,
        kind: OutboxKind::Publication,
        key: Some(publication.scope_key.clone().into_bytes()),
        value: Some(value),
        headers: CloudEventHeaders::of_run(run, &id, "io.modelfactory.bundle.publication".to_owned(), at),
        event_id: id,
        source: None,
    }
}

/// Builds what the topics get about a rejected record: its dead letter and, if its request id can be read, an event.
pub fn refusal_drafts(arrival: &Arrival, rejection: &Rejection, at: DateTime<Utc>, worker: &str) -> Vec<OutboxDraft> {
    let event = rejection.ids.request_id.as_ref().map(|id| refusal_event(arrival, rejection, id, at, worker));
    std::iter::once(dead_letter(arrival, rejection)).chain(event).collect()
}

fn json_bytes<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("events have string keys and finite numbers")
}

/// Builds a dead letter without a value: the relay reads the record's bytes from the inbox. The rejection's texts are
/// bounded, and a key that was cut is not repeated.
fn dead_letter(arrival: &Arrival, rejection: &Rejection) -> OutboxDraft {
    let record = &arrival.record;
    let source = &record.coordinates;
    let (topic, incarnation) = source.topic_and_incarnation();
    let mut headers = vec![
        ("mf_code".to_owned(), rejection.code.as_str().to_owned()),
        ("mf_category".to_owned(), rejection.code.category().as_str().to_owned()),
        ("mf_pointer".to_owned(), rejection.pointer.clone()),
        ("mf_message".to_owned(), rejection.message.clone()),
        ("mf_source_topic".to_owned(), topic.to_owned()),
        ("mf_source_partition".to_owned(), source.partition.to_string()),
        ("mf_source_offset".to_owned(), source.offset.to_string()),
        ("mf_sha256".to_owned(), arrival.sha256.to_string()),
    ];
    if incarnation > 1 {
        headers.push(("mf_source_incarnation".to_owned(), incarnation.to_string()));
    }
    let is_cut_key = record.cut.as_ref().is_some_and(CutRecord::cuts_key);
    if let Some(cut) = &record.cut {
        headers.push(("mf_bytes".to_owned(), cut.value_bytes.to_string()));
        if is_cut_key {
            headers.push(("mf_key_bytes".to_owned(), cut.key_bytes.to_string()));
        }
    }
    headers.extend(record.trace.iter().flat_map(trace));
    OutboxDraft {
        stream: format!("refused:{source}"),
        seq: None,
        kind: OutboxKind::DeadLetter,
        event_id: format!("dead:{source}"),
        key: record.key.clone().filter(|_| !is_cut_key),
        value: None,
        headers,
        source: Some(source.clone()),
    }
}

fn refusal_event(
    arrival: &Arrival,
    rejection: &Rejection,
    request_id: &str,
    at: DateTime<Utc>,
    worker: &str,
) -> OutboxDraft {
    let record = &arrival.record;
    let stream = format!("refused:{}", record.coordinates);
    let id = event_id(&stream, 1, EventType::RequestRejected);
    let body = RunLifecycleEvent {
        schema_version: RunLifecycleEvent::SCHEMA_VERSION.to_owned(),
        event_id: id.clone(),
        event_type: EventType::RequestRejected,
        run_id: None,
        run_key: None,
        seq: 1,
        state: None,
        execution_mode: None,
        attempt: 0,
        occurred_at_utc: at,
        request_id: Some(request_id.to_owned()),
        platform_run_id: rejection.ids.platform_run_id.clone(),
        intent_kind: None,
        target_scope: None,
        reason: Some(EventReason::new(rejection.code, format!("at {:?}: {}", rejection.pointer, rejection.message))),
        refs: EventRefs::new(),
        provenance: None,
        deduplication: None,
        near_misses: Vec::new(),
        progress: None,
        record_sha256: Some(arrival.sha256),
        worker: worker.to_owned(),
    };
    let headers = CloudEventHeaders {
        id: &id,
        event_type: format!("io.modelfactory.{}", EventType::RequestRejected),
        at,
        subject: None,
        trace: record.trace.as_ref(),
    };
    OutboxDraft {
        stream,
        seq: Some(1),
        kind: OutboxKind::Lifecycle,
        key: Some(request_id.as_bytes().to_vec()),
        value: Some(json_bytes(&body)),
        headers: headers.stored(),
        event_id: id,
        source: None,
    }
}
