//! One act: what was done, by whom, to what, why, and by which evidence.

use crate::domain::contract::{EventReason, EventRefs, EventType};
use crate::domain::identity::RunId;
use crate::domain::run::{ExecutionMode, FailureCode, State, Transition};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! act_kinds {
    (told { $($event:ident),+ $(,)? } own { $($variant:ident => $name:literal, $meaning:literal;)+ }) => {
        /// What was done. Where the world is told of it too, it bears the event's name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ActKind {
            $(#[doc = "The event of this name was told."] $event,)+
            $(#[doc = $meaning] $variant,)+
        }

        impl ActKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$event,)+ $(Self::$variant),+];

            /// The name in the log.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$event => EventType::$event.as_str(),)+
                    $(Self::$variant => $name,)+
                }
            }

            /// The act that an event tells of; none of `run.progress`, which decides nothing.
            pub fn of(event: EventType) -> Option<Self> {
                match event {
                    $(EventType::$event => Some(Self::$event),)+
                    EventType::RunProgress => None,
                }
            }
        }
    };
}

act_kinds! {
    told {
        RequestAdmitted, RequestDeduplicated, RequestRejected, RunStarted, RunEvalReady, RunGatePassed, RunGateFailed,
        RunFailed, RunRequeued, RunCancelled, PublishPending, PublishRetryStarted, PublishPublished, PublishExhausted,
    }
    own {
        CancelRequested => "cancel.requested", "A requester or operator wants a run stopped.";
        PublishRetryRequested => "publish.retry_requested", "A requester or operator wants a bundle announced again.";
        RequeueRequested => "requeue.requested", "An operator takes a run from its worker, or opens it again.";
        RegistryAnswered => "registry.answered", "The registry said whether it holds a bundle.";
        PublishReceiptWritten => "publish.receipt_written", "The receipt of a publication is in the evidence store.";
        PublishReceiptRefused => "publish.receipt_refused", "There can be no receipt of a publication.";
        DeadLetterReplayRequested => "dead_letter.replay_requested", "An operator is about to send a refused record again.";
        DeadLetterReplayed => "dead_letter.replayed", "The broker acknowledged a refused record that was sent again.";
        LedgerMigrated => "ledger.migrated", "The schema was brought to a release.";
        LedgerPruned => "ledger.pruned", "Old history was deleted.";
    }
}

impl fmt::Display for ActKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for ActKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ActKind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = Self::ALL.iter().copied().find(|kind| kind.as_str() == name);
        known.ok_or_else(|| serde::de::Error::custom(format!("{name:?} is no act of this release")))
    }
}

/// What kind of party acted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// The `requester_principal` of a message.
    Requester,
    /// A worker, of itself.
    Worker,
    /// A person at the command line.
    Operator,
    /// The model registry.
    Registry,
}

/// Who wanted it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// What kind of party.
    pub kind: ActorKind,
    /// Its name, as it gave it.
    pub name: String,
}

impl Actor {
    /// A party of this kind.
    pub fn new(kind: ActorKind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into() }
    }
}

/// What it was done to; what does not apply is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// Where a record was acknowledged by the broker, as topic/partition/offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_at: Option<String>,
    /// The platform run that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform_run_id: Option<String>,
    /// The record that led to it, as topic/partition/offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// The registry's event that led to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_event_id: Option<String>,
    /// The request or command that led to it; the run's first one otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
}

/// Why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Why {
    /// The failure code, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<FailureCode>,
    /// In words; capped as the messages of events are.
    pub message: String,
}

impl Why {
    /// Somebody's own words.
    pub fn said(message: &str) -> Self {
        Self { code: None, message: EventReason::capped(message.to_owned()) }
    }

    /// A code with its message.
    pub fn coded(code: FailureCode, message: &str) -> Self {
        Self { code: Some(code), ..Self::said(message) }
    }
}

/// The step of a run that it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Full attempts so far.
    pub attempt: i32,
    /// What a worker does with the run after it.
    pub execution_mode: ExecutionMode,
    /// The fence under which it was taken.
    pub fence: i64,
    /// From.
    pub from: State,
    /// Number of the run's event that tells it.
    pub seq: i64,
    /// To.
    pub to: State,
    /// The step.
    pub transition: Transition,
}

/// What was deleted from the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Removed {
    /// Only what had happened before this.
    pub before: DateTime<Utc>,
    /// Rows: records of the request topic.
    pub inbox: u64,
    /// Rows: sent events and dead letters.
    pub outbox: u64,
    /// Records that were deleted, as topic/partition/offset.
    pub records: Vec<String>,
    /// Rows: events of the registry.
    pub registry_events: u64,
    /// Runs whose steps were deleted.
    pub run_ids: Vec<String>,
    /// Rows: steps of runs.
    pub transitions: u64,
}

/// One act. Fields of everything here stand in the order of their names: so they are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Act {
    /// What.
    pub act: ActKind,
    /// Who wanted it.
    pub actor: Actor,
    /// The step of the run, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// What it rests on: place and digest by role.
    #[serde(default, skip_serializing_if = "EventRefs::is_empty")]
    pub evidence: EventRefs,
    /// With `ledger.migrated`: the migrations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub migrations: Vec<i64>,
    /// What became of the record for ever; with the one act that settles it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Why, where there is a why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Why>,
    /// Why it was asked for and not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<FailureCode>,
    /// With `ledger.pruned`: what is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Removed>,
    /// To what.
    pub subject: Subject,
}

impl Act {
    /// An act without anything that need not be there.
    pub fn new(act: ActKind, actor: Actor, subject: Subject) -> Self {
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
}

/// The acts of one transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// In order.
    pub acts: Vec<Act>,
    /// The process that wrote them down.
    pub by: String,
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
}
