//! What leaves through the outbox, exactly as it will be on the topic.

use super::Error;
use super::rows::{LockedRun, unreadable};
use super::types::{Arrival, Coordinates};
use crate::domain::contract::{
    BundlePublication, Deduplication, EventProgress, EventReason, EventRefs, EventType, LifecycleProvenance, Rejection,
    RunLifecycleEvent, event_id,
};
use crate::domain::identity::{Digest, RunId};
use crate::domain::run::OutboxKind;
use chrono::{DateTime, SecondsFormat, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;

/// An event that is to be told about a run.
pub(super) struct NewEvent {
    pub(super) event_type: EventType,
    pub(super) reason: Option<EventReason>,
    /// The request that was just handled; the run's first one otherwise.
    pub(super) request_id: Option<String>,
    /// Why a request joined a run.
    pub(super) deduplication: Option<Deduplication>,
    /// Other runs that this one looks like.
    pub(super) near_misses: Vec<RunId>,
    /// How far the trainer is.
    pub(super) progress: Option<EventProgress>,
}

impl NewEvent {
    /// An event about the run itself.
    pub(super) fn of(event_type: EventType, reason: Option<EventReason>) -> Self {
        Self { event_type, reason, request_id: None, deduplication: None, near_misses: Vec::new(), progress: None }
    }
}

/// An outbox row to be inserted.
#[derive(Debug)]
pub(super) struct OutboxDraft {
    stream: String,
    seq: Option<i64>,
    kind: OutboxKind,
    event_id: String,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, String)>,
    source: Option<Coordinates>,
}

const SOURCE: &str = "/model-factory";

pub(super) struct CloudEvent<'a> {
    pub(super) id: &'a str,
    pub(super) event_type: String,
    pub(super) at: DateTime<Utc>,
    pub(super) subject: Option<&'a RunId>,
    pub(super) traceparent: Option<&'a str>,
    pub(super) tracestate: Option<&'a str>,
}

/// CloudEvents 1.0, Kafka protocol binding, binary mode; W3C trace context.
pub(super) fn headers(event: &CloudEvent<'_>) -> Vec<(String, String)> {
    let mut headers = vec![
        ("ce_specversion".to_owned(), "1.0".to_owned()),
        ("ce_id".to_owned(), event.id.to_owned()),
        ("ce_source".to_owned(), SOURCE.to_owned()),
        ("ce_type".to_owned(), event.event_type.clone()),
        ("ce_time".to_owned(), event.at.to_rfc3339_opts(SecondsFormat::Micros, true)),
    ];
    if let Some(run_id) = event.subject {
        headers.push(("ce_subject".to_owned(), run_id.to_string()));
    }
    headers.push(("content-type".to_owned(), "application/json".to_owned()));
    for (name, value) in [("traceparent", event.traceparent), ("tracestate", event.tracestate)] {
        if let Some(value) = value {
            headers.push((name.to_owned(), value.to_owned()));
        }
    }
    headers
}

/// One of a stored record's headers.
pub(super) fn header(stored: serde_json::Value, name: &str) -> Result<Option<String>, Error> {
    let headers: Vec<(String, String)> =
        serde_json::from_value(stored).map_err(|error| unreadable("header list", error))?;
    Ok(headers.into_iter().find(|(found, _)| found == name).map(|(_, value)| value))
}

fn json_bytes<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("events have string keys and finite numbers")
}

/// An event about a run, with the run's next number.
pub(super) fn lifecycle_draft(run: &LockedRun, event: NewEvent, at: DateTime<Utc>, worker: &str) -> OutboxDraft {
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
        refs: run.refs.clone(),
        provenance: Some(LifecycleProvenance {
            policy_revision: request.policy_revision.clone(),
            config_revision: request.config_revision.clone(),
            mf_code_release_id: request.mf_code_release_id.clone(),
        }),
        deduplication: event.deduplication,
        near_misses: event.near_misses,
        progress: event.progress,
        worker: worker.to_owned(),
    };
    OutboxDraft {
        stream: run.run_id.to_string(),
        seq: Some(run.next_seq),
        kind: OutboxKind::Lifecycle,
        key: Some(run.run_id.as_str().as_bytes().to_vec()),
        value: Some(json_bytes(&body)),
        headers: headers(&CloudEvent {
            id: &id,
            event_type: format!("io.modelfactory.{}", event.event_type),
            at,
            subject: Some(&run.run_id),
            traceparent: run.traceparent.as_deref(),
            tracestate: run.tracestate.as_deref(),
        }),
        event_id: id,
        source: None,
    }
}

/// The announcement of a bundle; behind the event of its step in the same stream. Publishing the same
/// bundle again is another record with the same value: the attempt is part of its id.
pub(super) fn publication_draft(run: &LockedRun, publication: &BundlePublication, at: DateTime<Utc>) -> OutboxDraft {
    let digest = Digest::of(&json_bytes(publication)).to_string();
    let id = format!("pub_{}_{}_{}", &digest[..32], run.full_run_attempts, run.publish_retry_attempts);
    OutboxDraft {
        stream: run.run_id.to_string(),
        seq: None,
        kind: OutboxKind::Publication,
        key: Some(publication.scope_key.clone().into_bytes()),
        value: Some(json_bytes(publication)),
        headers: headers(&CloudEvent {
            id: &id,
            event_type: "io.modelfactory.bundle.publication".to_owned(),
            at,
            subject: Some(&run.run_id),
            traceparent: run.traceparent.as_deref(),
            tracestate: run.tracestate.as_deref(),
        }),
        event_id: id,
        source: None,
    }
}

/// A refused record: its dead letter and, where its request id can be read, the event that says so.
pub(super) fn refusal_drafts(
    arrival: &Arrival,
    rejection: &Rejection,
    at: DateTime<Utc>,
    worker: &str,
) -> Vec<OutboxDraft> {
    let record = &arrival.record;
    let Coordinates { topic, partition, offset } = &record.coordinates;
    let stream = format!("refused:{topic}/{partition}/{offset}");
    let digest = arrival.sha256;
    let mut letter = vec![
        ("mf_code".to_owned(), rejection.code.as_str().to_owned()),
        ("mf_category".to_owned(), rejection.code.category().as_str().to_owned()),
        ("mf_pointer".to_owned(), rejection.pointer.clone()),
        ("mf_message".to_owned(), rejection.message.clone()),
        ("mf_source_topic".to_owned(), topic.clone()),
        ("mf_source_partition".to_owned(), partition.to_string()),
        ("mf_source_offset".to_owned(), offset.to_string()),
        ("mf_sha256".to_owned(), digest.to_string()),
    ];
    for (name, value) in [("traceparent", &record.traceparent), ("tracestate", &record.tracestate)] {
        if let Some(value) = value {
            letter.push((name.to_owned(), value.clone()));
        }
    }
    let mut drafts = vec![OutboxDraft {
        stream: stream.clone(),
        seq: None,
        kind: OutboxKind::DeadLetter,
        event_id: format!("dead:{topic}/{partition}/{offset}"),
        key: record.key.clone(),
        value: None,
        headers: letter,
        source: Some(record.coordinates.clone()),
    }];
    if let Some(request_id) = &rejection.ids.request_id {
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
            request_id: Some(request_id.clone()),
            platform_run_id: rejection.ids.platform_run_id.clone(),
            intent_kind: None,
            target_scope: None,
            reason: Some(EventReason::new(
                rejection.code,
                format!("at {:?}: {}", rejection.pointer, rejection.message),
            )),
            refs: EventRefs::new(),
            provenance: None,
            deduplication: None,
            near_misses: Vec::new(),
            progress: None,
            worker: worker.to_owned(),
        };
        drafts.push(OutboxDraft {
            stream,
            seq: Some(1),
            kind: OutboxKind::Lifecycle,
            key: Some(request_id.clone().into_bytes()),
            value: Some(json_bytes(&body)),
            headers: headers(&CloudEvent {
                id: &id,
                event_type: format!("io.modelfactory.{}", EventType::RequestRejected),
                at,
                subject: None,
                traceparent: record.traceparent.as_deref(),
                tracestate: record.tracestate.as_deref(),
            }),
            event_id: id,
            source: None,
        });
    }
    drafts
}

/// Inserts rows in this order, so that ids rise within each stream.
pub(super) async fn store_outbox(connection: &mut PgConnection, drafts: &[OutboxDraft]) -> Result<(), Error> {
    if drafts.is_empty() {
        return Ok(());
    }
    let source = |of: fn(&Coordinates) -> i64| drafts.iter().map(|d| d.source.as_ref().map(of)).collect::<Vec<_>>();
    sqlx::query(
        "INSERT INTO outbox (stream, seq, kind, event_id, key, value, headers, source_topic, source_partition,
                             source_offset, created_at)
         SELECT d.stream, d.seq, d.kind::outbox_kind, d.event_id, d.key, d.value, d.headers, d.topic,
                d.partition::integer, d.position, now()
         FROM UNNEST($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bytea[], $6::bytea[], $7::jsonb[],
                     $8::text[], $9::bigint[], $10::bigint[])
              WITH ORDINALITY AS d (stream, seq, kind, event_id, key, value, headers, topic, partition, position, line)
         ORDER BY d.line",
    )
    .bind(drafts.iter().map(|d| d.stream.as_str()).collect::<Vec<_>>())
    .bind(drafts.iter().map(|d| d.seq).collect::<Vec<_>>())
    .bind(drafts.iter().map(|d| d.kind.as_str()).collect::<Vec<_>>())
    .bind(drafts.iter().map(|d| d.event_id.as_str()).collect::<Vec<_>>())
    .bind(drafts.iter().map(|d| d.key.as_deref()).collect::<Vec<_>>())
    .bind(drafts.iter().map(|d| d.value.as_deref()).collect::<Vec<_>>())
    .bind(drafts.iter().map(|d| Json(&d.headers)).collect::<Vec<_>>())
    .bind(drafts.iter().map(|d| d.source.as_ref().map(|at| at.topic.as_str())).collect::<Vec<_>>())
    .bind(source(|at| i64::from(at.partition)))
    .bind(source(|at| at.offset))
    .execute(connection)
    .await?;
    Ok(())
}
