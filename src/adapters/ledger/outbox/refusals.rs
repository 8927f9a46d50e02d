//! What the topics get of a refused record: its dead letter and, where its request id can be read, an event.

use super::draft::{OutboxDraft, json_bytes};
use super::headers::{CloudEventHeaders, trace};
use crate::adapters::ledger::{Arrival, Coordinates};
use crate::domain::contract::{EventReason, EventRefs, EventType, Rejection, RunLifecycleEvent, event_id};
use crate::domain::run::OutboxKind;
use chrono::{DateTime, Utc};

pub fn refusal_drafts(arrival: &Arrival, rejection: &Rejection, at: DateTime<Utc>, worker: &str) -> Vec<OutboxDraft> {
    let event = rejection.ids.request_id.as_ref().map(|id| refusal_event(arrival, rejection, id, at, worker));
    std::iter::once(dead_letter(arrival, rejection)).chain(event).collect()
}

fn stream(of: &Coordinates) -> String {
    format!("refused:{of}")
}

/// The relay takes its value from the inbox, where the record's bytes stand.
fn dead_letter(arrival: &Arrival, rejection: &Rejection) -> OutboxDraft {
    let record = &arrival.record;
    let source = &record.coordinates;
    let mut headers = vec![
        ("mf_code".to_owned(), rejection.code.as_str().to_owned()),
        ("mf_category".to_owned(), rejection.code.category().as_str().to_owned()),
        ("mf_pointer".to_owned(), rejection.pointer.clone()),
        ("mf_message".to_owned(), rejection.message.clone()),
        ("mf_source_topic".to_owned(), source.topic.clone()),
        ("mf_source_partition".to_owned(), source.partition.to_string()),
        ("mf_source_offset".to_owned(), source.offset.to_string()),
        ("mf_sha256".to_owned(), arrival.sha256.to_string()),
    ];
    headers.extend(record.trace.iter().flat_map(trace));
    OutboxDraft {
        stream: stream(source),
        seq: None,
        kind: OutboxKind::DeadLetter,
        event_id: format!("dead:{source}"),
        key: record.key.clone(),
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
    let stream = stream(&record.coordinates);
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
