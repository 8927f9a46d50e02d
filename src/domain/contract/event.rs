//! `RunLifecycleEvent`: what the world is told about a run.

use super::{IntentKind, TargetScope};
use crate::domain::identity::{Digest, RunId, RunKey, recipe_digest};
use crate::domain::run::{Category, ExecutionMode, FailureCode, State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt;

/// The version that this release writes.
pub const LIFECYCLE_SCHEMA_VERSION: &str = "learning.mf_run_lifecycle.v0";

macro_rules! event_types {
    ($($variant:ident => $name:literal, $meaning:literal;)+) => {
        /// What happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum EventType {
            $(#[doc = $meaning] #[serde(rename = $name)] $variant,)+
        }

        impl EventType {
            /// Every type.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name on the wire; `ce_type` is `io.modelfactory.` and this.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }
        }
    };
}

event_types! {
    RequestAdmitted => "request.admitted", "A request with a new meaning was admitted.";
    RequestDeduplicated => "request.deduplicated", "A request joined the run of the same meaning, or came again.";
    RequestRejected => "request.rejected", "A message was refused; a dead letter holds it.";
    RunStarted => "run.started", "A worker took the run.";
    RunProgress => "run.progress", "The trainer tells how far it is.";
    RunEvalReady => "run.eval_ready", "The evaluation report is durable.";
    RunGatePassed => "run.gate_passed", "Every threshold holds.";
    RunGateFailed => "run.gate_failed", "A threshold does not hold.";
    RunFailed => "run.failed", "The run ended with a failure code.";
    RunRequeued => "run.requeued", "The run went back to the queue.";
    RunCancelled => "run.cancelled", "A requester or operator stopped the run.";
    PublishPending => "publish.pending", "The bundle waits for the broker's acknowledgement, or for the registry's word.";
    PublishRetryStarted => "publish.retry_started", "A worker took the publication up again.";
    PublishPublished => "publish.published", "The broker acknowledged the publication, and the registry confirmed it where its word is asked for.";
    PublishExhausted => "publish.exhausted", "Nobody tries to publish again by himself: no further attempt can help, or the bound is reached.";
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why, where there is a why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventReason {
    /// The failure code.
    pub code: FailureCode,
    /// Its category.
    pub category: Category,
    /// What happened, for people; capped.
    pub message: String,
    /// Whether the same work may succeed later.
    pub retryable: bool,
}

impl EventReason {
    /// Longest message in bytes.
    pub const MESSAGE_CAP: usize = 2_048;

    /// The reason with this code.
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        let message = Self::capped(message.into());
        Self { code, category: code.category(), message, retryable: code.is_retryable() }
    }

    /// A text that is no longer than a message may be.
    pub fn capped(mut message: String) -> String {
        if message.len() > Self::MESSAGE_CAP {
            let end = (0..=Self::MESSAGE_CAP - 3).rev().find(|&at| message.is_char_boundary(at)).unwrap_or(0);
            message.truncate(end);
            message.push('…');
        }
        message
    }
}

/// A document or artifact of the run, by place and content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceRef {
    /// Path in the evidence store.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Digest of the bytes there.
    pub sha256: Digest,
}

/// Evidence so far, by role (`resolved_train_plan`, `eval_report`, `gate_receipt`, `bundle`, …).
pub type EventRefs = BTreeMap<String, EvidenceRef>;

/// The pinned revisions of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LifecycleProvenance {
    /// Pinned policy.
    pub policy_revision: String,
    /// Pinned configuration.
    pub config_revision: String,
    /// Pinned code.
    pub mf_code_release_id: String,
}

/// Why a request joined a run that was there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deduplication {
    /// What was the same.
    pub because: SameAs,
    /// The request that the run was made for.
    pub first_request_id: String,
    /// Fields that make two requests the same run, as JSON pointers; all of them are equal.
    pub compared: Vec<String>,
    /// Fields that differ and do not matter, as JSON pointers.
    pub ignored_differences: Vec<String>,
}

/// What made a request a duplicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SameAs {
    /// The same request id with the same content.
    Request,
    /// Another request id with the same meaning.
    Meaning,
}

/// How far the trainer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventProgress {
    /// `read`, `check`, `fit`, `score`, `evaluate`; a registered command's own word.
    pub step: String,
    /// Share of the whole work, 0 to 100.
    pub percent: u8,
    /// For people.
    pub message: String,
}

/// One event. Everything about a run that is not known (a rejection without a readable request) is null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunLifecycleEvent {
    /// Always [`LIFECYCLE_SCHEMA_VERSION`].
    pub schema_version: String,
    /// The same transition has the same id, so that a redelivery is recognisable; also `ce_id`.
    pub event_id: String,
    /// What happened.
    pub event_type: EventType,
    /// The run, where there is one.
    pub run_id: Option<RunId>,
    /// Its key.
    pub run_key: Option<RunKey>,
    /// 1, 2, 3… within the run (or within the request, where there is no run), no holes.
    pub seq: u64,
    /// The state after this event.
    pub state: Option<State>,
    /// The mode after this event.
    pub execution_mode: Option<ExecutionMode>,
    /// Full attempts so far.
    pub attempt: u32,
    /// By the database's clock.
    pub occurred_at_utc: DateTime<Utc>,
    /// The request that this event is about: the first one of the run, or the one just handled.
    pub request_id: Option<String>,
    /// The platform run.
    pub platform_run_id: Option<String>,
    /// What kind of build.
    pub intent_kind: Option<IntentKind>,
    /// Where the bundle is meant to be used.
    pub target_scope: Option<TargetScope>,
    /// Why, where there is a why.
    pub reason: Option<EventReason>,
    /// Evidence so far.
    pub refs: EventRefs,
    /// Pinned revisions.
    pub provenance: Option<LifecycleProvenance>,
    /// With `request.deduplicated`: why this is the same run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deduplication: Option<Deduplication>,
    /// With `request.admitted`: runs that differ only in white space, case or Unicode form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub near_misses: Vec<RunId>,
    /// With `run.progress`: how far the trainer is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<EventProgress>,
    /// The worker that did it.
    pub worker: String,
}

/// Deterministic event id: `evt_` and 32 hex digits over stream (run or request), number and type.
pub fn event_id(stream: &str, seq: u64, event_type: EventType) -> String {
    let digest =
        recipe_digest("mf.event_id.v1", &json!({"event_type": event_type.as_str(), "seq": seq, "stream": stream}));
    format!("evt_{}", &digest.to_string()[..32])
}
