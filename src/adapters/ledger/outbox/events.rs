//! Events and publications of a run, exactly as they will be on their topics.

use super::draft::{OutboxDraft, json_bytes};
use super::headers::CloudEventHeaders;
use crate::adapters::ledger::row::LockedRun;
use crate::domain::contract::{
    BundlePublication, Deduplication, EventProgress, EventReason, EventType, LifecycleProvenance, RunLifecycleEvent,
    event_id,
};
use crate::domain::identity::{Digest, RunId};
use crate::domain::run::{OutboxKind, Transition};
use chrono::{DateTime, Utc};

/// What an event says beside the run's state.
pub struct NewEvent {
    pub event_type: EventType,
    pub reason: Option<EventReason>,
    /// The request that was just handled; none means the run's first one.
    pub request_id: Option<String>,
    /// Why a request joined the run.
    pub deduplication: Option<Deduplication>,
    pub near_misses: Vec<RunId>,
    pub progress: Option<EventProgress>,
}

impl NewEvent {
    pub fn of(event_type: EventType, reason: Option<EventReason>) -> Self {
        Self { event_type, reason, request_id: None, deduplication: None, near_misses: Vec::new(), progress: None }
    }

    /// The event that reports a step.
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

/// The event takes the run's next number; the caller moves that on.
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
        headers: CloudEventHeaders::of_run(run, &id, format!("io.modelfactory.{}", event.event_type), at),
        event_id: id,
        source: None,
    }
}

/// Insert it behind the event of its step: both are of one stream. A second publication of the same bundle is another
/// record with the same value, so the attempts are part of its id.
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
