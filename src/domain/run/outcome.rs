//! What becomes of a record of the request topic, and of the registry's topic; and what a record of the outbox is.

use super::failure::FailureCode;
use crate::domain::identity::RunId;
use crate::domain::named::named;
use serde::{Deserialize, Serialize};
use strum::{EnumDiscriminants, IntoStaticStr, VariantArray};

/// What becomes of a record of the request topic: exactly one per record, for ever.
#[derive(Debug, Clone, PartialEq, Eq, EnumDiscriminants, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "SCREAMING_SNAKE_CASE")]
#[strum_discriminants(
    name(OutcomeKind),
    derive(Hash, IntoStaticStr, VariantArray),
    strum(serialize_all = "SCREAMING_SNAKE_CASE"),
    doc = "An outcome by its name."
)]
pub enum Outcome {
    /// A new meaning: a run was created.
    Admitted { run_id: RunId },
    /// The same request id with the same payload; also a redelivery of a record that was handled before. The run is
    /// that of the first request.
    DuplicateRequest { run_id: RunId },
    /// Another request id with the same meaning.
    DuplicateRun { run_id: RunId },
    /// The same request id with another payload. The first request and its run stand; `differs` holds JSON pointers.
    Conflict { run_id: RunId, differs: Vec<String> },
    /// The message is bad.
    Rejected { code: FailureCode },
    /// The run was stopped, or its bundle will be announced again.
    CommandApplied { run_id: RunId },
    /// The run is unknown, or stands where the command does not apply.
    CommandRejected { code: FailureCode },
}

named!(OutcomeKind, "{:?} is not an outcome");

impl Outcome {
    pub fn kind(&self) -> OutcomeKind {
        self.into()
    }

    pub fn run_id(&self) -> Option<&RunId> {
        match self {
            Self::Admitted { run_id }
            | Self::DuplicateRequest { run_id }
            | Self::DuplicateRun { run_id }
            | Self::Conflict { run_id, .. }
            | Self::CommandApplied { run_id } => Some(run_id),
            Self::Rejected { .. } | Self::CommandRejected { .. } => None,
        }
    }

    /// The code of the dead letter, where the outcome is one.
    pub fn code(&self) -> Option<FailureCode> {
        match self {
            Self::Conflict { .. } => Some(FailureCode::RequestIdPayloadMismatch),
            Self::Rejected { code } | Self::CommandRejected { code } => Some(*code),
            Self::Admitted { .. }
            | Self::DuplicateRequest { .. }
            | Self::DuplicateRun { .. }
            | Self::CommandApplied { .. } => None,
        }
    }
}

/// What a record of the registry's topic leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum RegistryReply {
    Published,
    /// The bundle is confirmed, and its announcement is not marked as sent yet: the mark will make the run PUBLISHED.
    Remembered,
    /// The run waits for an operator, with the registry's reason.
    Rejected,
    /// The event was applied before.
    Repeated,
    /// The run is PUBLISHED already, or the bundle was confirmed before it was rejected.
    Late,
    /// No bundle was announced under this reference and scope.
    Unknown,
    /// The event is about something else than an announced bundle.
    Other,
    /// The record is no event by its schema.
    Malformed,
    /// The ledger refuses to apply it: a defect, or a row made by hand.
    Refused,
}

named!(RegistryReply, "{:?} is not a registry reply");

/// What a record of the outbox is; decides its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum OutboxKind {
    Lifecycle,
    Publication,
    DeadLetter,
    /// An OpenLineage `RunEvent`; in a table of its own.
    Lineage,
}

named!(OutboxKind, "{:?} is not a kind of outbox record");
