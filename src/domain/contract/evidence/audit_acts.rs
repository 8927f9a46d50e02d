//! `AuditActs`, the text of one block of the audit log: who did what, to what, why, and by which evidence.

use crate::domain::contract::{EventReason, EventRefs, EventType};
use crate::domain::identity::{Digest, RunId};
use crate::domain::named::named;
use crate::domain::run::{ExecutionMode, FailureCode, State, Transition};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use strum::{Display, IntoStaticStr, VariantArray};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditActs {
    pub acts: Vec<AuditAct>,
    /// The process that appended these acts.
    pub by: String,
}

/// One act. This type and the types of its fields declare their fields in alphabetical order, because canonical text is
/// written in the order of declaration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditAct {
    pub act: ActKind,
    pub actor: Actor,
    /// The run's change of state. `None` if the act does not change the state of a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<StateChange>,
    /// Documents that the act rests on, each under its role, for example `eval_report`.
    #[serde(default, skip_serializing_if = "EventRefs::is_empty")]
    pub evidence: EventRefs,
    /// Versions of the migrations that were applied. Only with `ledger.migrated`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub migrations: Vec<i64>,
    /// Outcome of a record of the request topic. Only in the one act that decides the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<ActReason>,
    /// Why a command was refused. `None` if the command was carried out, or the act is no command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<FailureCode>,
    /// What was deleted. Only with `ledger.pruned`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<PrunedRows>,
    pub subject: ActSubject,
}

impl AuditAct {
    /// Role of the bytes of the record that caused an act.
    pub const RECORD: &str = "request";
    /// What the roles of documents begin with to which the registry's event refers. A number follows.
    pub const OF_REGISTRY: &str = "registry_";

    pub fn new(act: ActKind, actor: Actor, subject: ActSubject) -> Self {
        Self {
            act,
            actor,
            subject,
            outcome: None,
            refused: None,
            reason: None,
            change: None,
            evidence: EventRefs::new(),
            removed: None,
            migrations: Vec::new(),
        }
    }

    /// Returns the documents that the act names of its run. The others are of what caused the act: the record (`request`),
    /// and what the registry's event refers to (`registry_1`, `registry_2`, …).
    pub fn evidence_of_run(&self) -> EventRefs {
        let of_cause = |role: &str| role == Self::RECORD || role.starts_with(Self::OF_REGISTRY);
        self.evidence.iter().filter(|(role, _)| !of_cause(role)).map(|(role, at)| (role.clone(), at.clone())).collect()
    }
}

/// Kind of an act. If the act also emits an event, the event's type has the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display, IntoStaticStr, VariantArray, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
pub enum ActKind {
    #[strum(serialize = "request.admitted")]
    RequestAdmitted,
    #[strum(serialize = "request.deduplicated")]
    RequestDeduplicated,
    #[strum(serialize = "request.rejected")]
    RequestRejected,
    #[strum(serialize = "run.started")]
    RunStarted,
    #[strum(serialize = "run.eval_ready")]
    RunEvalReady,
    #[strum(serialize = "run.gate_passed")]
    RunGatePassed,
    #[strum(serialize = "run.gate_failed")]
    RunGateFailed,
    #[strum(serialize = "run.failed")]
    RunFailed,
    #[strum(serialize = "run.requeued")]
    RunRequeued,
    #[strum(serialize = "run.cancelled")]
    RunCancelled,
    #[strum(serialize = "publish.pending")]
    PublishPending,
    #[strum(serialize = "publish.retry_started")]
    PublishRetryStarted,
    #[strum(serialize = "publish.published")]
    PublishPublished,
    #[strum(serialize = "publish.exhausted")]
    PublishExhausted,
    /// A requester or operator asks to stop a run.
    #[strum(serialize = "cancel.requested")]
    CancelRequested,
    /// A requester or operator asks to announce a bundle again.
    #[strum(serialize = "publish.retry_requested")]
    PublishRetryRequested,
    /// An operator takes a run from its worker, or reopens it.
    #[strum(serialize = "requeue.requested")]
    RequeueRequested,
    /// The registry replied whether it holds a bundle.
    #[strum(serialize = "registry.answered")]
    RegistryAnswered,
    /// The receipt of a publication was written to the evidence store.
    #[strum(serialize = "publish.receipt_written")]
    PublishReceiptWritten,
    /// A published run can have no receipt, for a reason that trying again does not change.
    #[strum(serialize = "publish.receipt_refused")]
    PublishReceiptRefused,
    /// An operator is about to send a rejected record to the request topic again.
    #[strum(serialize = "dead_letter.replay_requested")]
    DeadLetterReplayRequested,
    /// The broker acknowledged a rejected record that an operator sent again.
    #[strum(serialize = "dead_letter.replayed")]
    DeadLetterReplayed,
    /// An operator gave the relay back what it had set aside about a rejected record.
    #[strum(serialize = "dead_letter.given_back")]
    DeadLetterGivenBack,
    /// Migrations were applied.
    #[strum(serialize = "ledger.migrated")]
    LedgerMigrated,
    /// Old rows were deleted.
    #[strum(serialize = "ledger.pruned")]
    LedgerPruned,
}

named!(ActKind, "{:?} is no act of this release");

impl ActKind {
    /// Returns the act that goes with an event. `None` for `run.progress`, which is no act.
    pub fn of(event: EventType) -> Option<Self> {
        event.as_str().parse().ok()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// The requester named in the message's field `requester_principal`.
    Requester,
    /// A worker that acts without being asked by a person.
    Worker,
    Operator,
    Registry,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    pub kind: ActorKind,
    /// The name that the actor gave. The audit log does not prove it.
    pub name: String,
}

impl Actor {
    pub fn new(kind: ActorKind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into() }
    }
}

/// What an act was done to. Fields that do not apply are `None`. A record is written as topic/partition/offset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActSubject {
    /// The record of the publication that the broker acknowledged, as topic/partition/offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform_run_id: Option<String>,
    /// The record of the request topic that led to the act, as topic/partition/offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// Id of the registry's event that led to the act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_event_id: Option<String>,
    /// Id of the request or command that led to the act. If there was none, the id of the run's first request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActReason {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<FailureCode>,
    /// Cut to the same number of bytes as an event's message.
    pub message: String,
}

impl ActReason {
    /// Builds a reason without a failure code, in an actor's own words.
    pub fn said(message: &str) -> Self {
        Self { code: None, message: EventReason::capped(message) }
    }

    pub fn coded(code: FailureCode, message: &str) -> Self {
        Self { code: Some(code), ..Self::said(message) }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateChange {
    /// Number of full attempts so far.
    pub attempt: i32,
    pub execution_mode: ExecutionMode,
    pub fence: i64,
    pub from: State,
    /// The `seq` of the event that reports this step: its number within the run.
    pub seq: i64,
    pub to: State,
    pub transition: Transition,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrunedRows {
    pub before: DateTime<Utc>,
    /// Number of records of the request topic that were deleted from the ledger.
    pub inbox: u64,
    /// Number of sent events and dead letters that were deleted from the ledger.
    pub outbox: u64,
    /// The records of the request topic that were deleted from the ledger, as topic/partition/offset.
    pub records: Vec<String>,
    /// Number of events of the registry that were deleted from the ledger.
    pub registry_events: u64,
    /// Runs whose steps were deleted.
    pub run_ids: Vec<String>,
    /// Number of deleted steps.
    pub transitions: u64,
}

/// Number and digest of the last block of a chain of the audit log. A copy kept elsewhere proves later whether the
/// chain was changed up to this block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// 0 for a chain without blocks.
    pub seq: i64,
    pub digest: Digest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a head is written SEQ:DIGEST, as `audit verify` and `audit export` print it")]
pub struct InvalidHead;

impl Head {
    pub fn start() -> Self {
        Self { seq: 0, digest: Digest::from_bytes(&[0; 32]).expect("32 bytes are a digest") }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.digest)
    }
}

impl FromStr for Head {
    type Err = InvalidHead;

    fn from_str(text: &str) -> Result<Self, InvalidHead> {
        let (seq, digest) = text.split_once(':').ok_or(InvalidHead)?;
        match (seq.parse(), digest.parse()) {
            (Ok(seq), Ok(digest)) if seq >= 0 => Ok(Self { seq, digest }),
            _ => Err(InvalidHead),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_but_progress_is_an_act_of_the_same_name() {
        for &event in EventType::ALL {
            match ActKind::of(event) {
                Some(act) => assert_eq!(act.as_str(), event.as_str()),
                None => assert_eq!(event, EventType::RunProgress),
            }
        }
    }

    #[test]
    fn names_are_unique_and_read_back() {
        let mut names: Vec<&str> = ActKind::ALL.iter().map(|kind| kind.as_str()).collect();
        for (&kind, name) in ActKind::ALL.iter().zip(&names) {
            assert_eq!(serde_json::from_str::<ActKind>(&format!("{name:?}")).unwrap(), kind);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ActKind::ALL.len());
        assert!(serde_json::from_str::<ActKind>("\"run.progress\"").is_err());
    }

    #[test]
    fn a_head_reads_back() {
        let head = Head { seq: 17, digest: Digest::of(b"x") };
        assert_eq!(head.to_string().parse(), Ok(head));
        for bad in ["", "17", "17:xyz", ":", "-1:00"] {
            assert_eq!(bad.parse::<Head>(), Err(InvalidHead), "{bad}");
        }
    }
}
