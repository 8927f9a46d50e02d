//! `RunLifecycleEvent`: an event about a run or request on the lifecycle topic.

use super::train_build_request::{IntentKind, Revisions, TargetScope};
use crate::domain::harmless::lines;
use crate::domain::identity::{Digest, RunId, RunKey, recipe_digest};
use crate::domain::named::named;
use crate::domain::run::{ExecutionMode, FailureCategory, FailureCode, State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use strum::{Display, IntoStaticStr, VariantArray};

/// One event. Fields whose value is unknown are null, for example if a rejected request could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunLifecycleEvent {
    pub schema_version: String,
    /// Derived from the run or the rejected record, `seq` and type, so that consumers recognise a record that is sent
    /// again. Also in the header `ce_id`.
    pub event_id: String,
    pub event_type: EventType,
    pub run_id: Option<RunId>,
    pub run_key: Option<RunKey>,
    /// Number of the event within its run: 1, 2, 3… without holes. Without a run, its number within the rejected
    /// record.
    pub seq: u64,
    pub state: Option<State>,
    pub execution_mode: Option<ExecutionMode>,
    /// Number of full attempts so far.
    pub attempt: u32,
    /// When the transaction with the reported change began, by the database's clock.
    pub occurred_at_utc: DateTime<Utc>,
    /// Id of the request that was just handled. If there was none, the id of the run's first request.
    pub request_id: Option<String>,
    pub platform_run_id: Option<String>,
    pub intent_kind: Option<IntentKind>,
    pub target_scope: Option<TargetScope>,
    pub reason: Option<EventReason>,
    pub refs: EventRefs,
    pub provenance: Option<Revisions>,
    /// Only with `request.deduplicated`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deduplication: Option<Deduplication>,
    /// Runs whose requests differ from this one only in white space, case or Unicode form. Only with
    /// `request.admitted`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub near_misses: Vec<RunId>,
    /// How far the trainer is. Only with `run.progress`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<EventProgress>,
    /// SHA-256 of the rejected record's bytes, as in its dead letter. Tells the record from others with the same request
    /// id, which may be another principal's. Only with `request.rejected`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record_sha256: Option<Digest>,
    /// The worker that took the step.
    pub worker: String,
}

impl RunLifecycleEvent {
    pub const SCHEMA_VERSION: &'static str = "learning.mf_run_lifecycle.v0";
}

/// Type of an event. Header `ce_type` is `io.modelfactory.` followed by this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display, IntoStaticStr, VariantArray, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
pub enum EventType {
    /// A request with a new meaning was admitted.
    #[strum(serialize = "request.admitted")]
    RequestAdmitted,
    /// A request joined the run of an earlier request with the same meaning, or the same request was received again.
    #[strum(serialize = "request.deduplicated")]
    RequestDeduplicated,
    /// A message was rejected. A dead letter holds the message.
    #[strum(serialize = "request.rejected")]
    RequestRejected,
    #[strum(serialize = "run.started")]
    RunStarted,
    #[strum(serialize = "run.progress")]
    RunProgress,
    /// The evaluation report is in the evidence store.
    #[strum(serialize = "run.eval_ready")]
    RunEvalReady,
    /// Every condition of the gate is met.
    #[strum(serialize = "run.gate_passed")]
    RunGatePassed,
    /// At least one condition of the gate is not met.
    #[strum(serialize = "run.gate_failed")]
    RunGateFailed,
    #[strum(serialize = "run.failed")]
    RunFailed,
    #[strum(serialize = "run.requeued")]
    RunRequeued,
    /// A requester or operator stopped the run.
    #[strum(serialize = "run.cancelled")]
    RunCancelled,
    /// The bundle waits for the broker's acknowledgement, for the registry's reply, or for another attempt to publish.
    #[strum(serialize = "publish.pending")]
    PublishPending,
    /// A worker has begun to publish the bundle again.
    #[strum(serialize = "publish.retry_started")]
    PublishRetryStarted,
    /// The broker acknowledged the publication and, if the registry's reply is required, the registry confirmed it.
    #[strum(serialize = "publish.published")]
    PublishPublished,
    /// No worker publishes again until somebody asks for it, since trying could not help, or the attempts are used up.
    #[strum(serialize = "publish.exhausted")]
    PublishExhausted,
}

named!(EventType, "{:?} is no event type of this release");

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventReason {
    pub code: FailureCode,
    pub category: FailureCategory,
    /// What happened, for people. At most [`Self::MESSAGE_CAP`] bytes.
    pub message: String,
    pub retryable: bool,
}

impl EventReason {
    pub const MESSAGE_CAP: usize = 2_048;

    pub fn new(code: FailureCode, message: impl AsRef<str>) -> Self {
        let message = Self::capped(message.as_ref());
        Self { code, category: code.category(), message, retryable: code.is_retryable() }
    }

    /// Escapes a text and cuts it to [`Self::MESSAGE_CAP`] bytes, because it may quote data, documents or a trainer.
    pub fn capped(message: &str) -> String {
        lines(message, Self::MESSAGE_CAP)
    }
}

/// A document or file of the run: where it is stored, and its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceRef {
    /// Path in the evidence store.
    #[serde(rename = "ref")]
    pub reference: String,
    pub sha256: Digest,
}

/// Documents of a run, each under its role: `resolved_train_plan`, `eval_report`, `gate_receipt`, `bundle`, …
pub type EventRefs = BTreeMap<String, EvidenceRef>;

/// Returns the documents of a run with at most `most_inputs` inputs. If inputs are left out, adds one entry `inputs/…`.
/// That entry holds the number of inputs left out, and a digest over their digests.
pub fn without_many_inputs(refs: &EventRefs, most_inputs: usize) -> EventRefs {
    let (inputs, mut kept): (Vec<_>, Vec<_>) = refs.iter().partition(|(role, _)| role.starts_with("inputs/"));
    let (shown, omitted) = inputs.split_at(inputs.len().min(most_inputs));
    kept.extend(shown);
    let mut kept: EventRefs = kept.into_iter().map(|(role, at)| (role.clone(), at.clone())).collect();
    if !omitted.is_empty() {
        let digests: Vec<String> = omitted.iter().map(|(_, at)| at.sha256.to_string()).collect();
        let reference = format!("{} more, as runs show lists them", omitted.len());
        let sha256 = Digest::of(digests.join("\n").as_bytes());
        kept.insert("inputs/…".to_owned(), EvidenceRef { reference, sha256 });
    }
    kept
}

/// Returns the roles under which `refs` holds something else than `reported`, or only one of them holds something. Empty if
/// they agree. `reported` may leave inputs out, as [`without_many_inputs`] does.
pub fn unreported(refs: &EventRefs, reported: &EventRefs) -> BTreeSet<String> {
    const OMITTED: &str = "inputs/…";
    let omission = reported.get(OMITTED);
    let is_omitted = |role: &str| omission.is_some() && role.starts_with("inputs/") && !reported.contains_key(role);
    let omitted: Vec<_> = refs.iter().filter(|(role, _)| is_omitted(role)).collect();
    let digests: Vec<String> = omitted.iter().map(|(_, at)| at.sha256.to_string()).collect();
    let omission_holds = omission.is_none_or(|at| at.sha256 == Digest::of(digests.join("\n").as_bytes()));
    let differing = refs.iter().filter(|(role, at)| !is_omitted(role) && reported.get(*role) != Some(*at));
    let missing = reported.keys().filter(|role| *role != OMITTED && !refs.contains_key(*role));
    let mut roles: BTreeSet<String> = differing.map(|(role, _)| role).chain(missing).cloned().collect();
    if !omission_holds {
        roles.extend(omitted.into_iter().map(|(role, _)| role.clone()));
        roles.insert(OMITTED.to_owned());
    }
    roles
}

/// Why a request joined an existing run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deduplication {
    pub because: SameAs,
    pub first_request_id: String,
    /// JSON pointers to the fields that identify a run. Both requests have equal values in all of them.
    pub compared: Vec<String>,
    /// JSON pointers to the fields that differ but do not identify a run.
    pub ignored_differences: Vec<String>,
}

/// What a request has in common with the run's first request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SameAs {
    /// The request has the same id and the same content.
    Request,
    /// The request has another id and the same meaning.
    Meaning,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventProgress {
    /// `read`, `check`, `fit`, `score`, `evaluate`, or a word that a registered command reports.
    pub step: String,
    /// How far the reporting process is, in percent from 0 to 100. An attempt may have three such processes in a row.
    pub percent: u8,
    pub message: String,
}

/// Computes an event's id: `evt_` and 32 hex digits of a digest over stream, `seq` and type. The stream is the run or
/// the rejected record.
pub fn event_id(stream: &str, seq: u64, event_type: EventType) -> String {
    let digest =
        recipe_digest("mf.event_id.v1", &json!({"event_type": event_type.as_str(), "seq": seq, "stream": stream}));
    format!("evt_{}", &digest.to_string()[..32])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_row_and_a_report_name_differently_is_found_also_among_omitted_inputs() {
        let at = |name: &str| EvidenceRef { reference: name.to_owned(), sha256: Digest::of(name.as_bytes()) };
        let roles = ["eval_report", "inputs/a", "inputs/b", "inputs/c"];
        let refs: EventRefs = roles.iter().map(|role| ((*role).to_owned(), at(role))).collect();
        let reported = without_many_inputs(&refs, 1);
        assert_eq!(reported.len(), 3, "two inputs are left out: {reported:?}");
        assert!(unreported(&refs, &reported).is_empty() && unreported(&refs, &refs).is_empty());
        let changed = |role: &str| {
            let mut changed = refs.clone();
            changed.insert(role.to_owned(), at("another"));
            unreported(&changed, &reported).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(changed("eval_report"), ["eval_report"]);
        assert_eq!(changed("new"), ["new"]);
        assert_eq!(changed("inputs/a"), ["inputs/a"]);
        // Which of those left out differs, their common digest does not tell.
        assert_eq!(changed("inputs/c"), ["inputs/b", "inputs/c", "inputs/…"]);
        let mut fewer = refs.clone();
        fewer.remove("eval_report");
        assert_eq!(unreported(&fewer, &reported).into_iter().collect::<Vec<_>>(), ["eval_report"]);
    }
}
