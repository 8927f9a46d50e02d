//! What becomes of a record of the request topic or the registry's topic; which kinds of records the outbox has.

use super::failure::FailureCode;
use crate::domain::identity::RunId;
use crate::domain::named::named;
use serde::{Deserialize, Serialize};
use strum::{EnumDiscriminants, IntoStaticStr, VariantArray};

/// What becomes of a record of the request topic: each record has exactly one outcome, for ever.
#[derive(Debug, Clone, PartialEq, Eq, EnumDiscriminants, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "SCREAMING_SNAKE_CASE")]
#[strum_discriminants(
    name(OutcomeKind),
    derive(Hash, IntoStaticStr, VariantArray),
    strum(serialize_all = "SCREAMING_SNAKE_CASE"),
    doc = "An outcome by its name."
)]
pub enum Outcome {
    /// The first request with this meaning: a run was created.
    Admitted { run_id: RunId },
    /// The same request id with the same payload, or a record that was read before. `run_id` is the run of the first
    /// request.
    DuplicateRequest { run_id: RunId },
    /// A new request id with the meaning of an earlier request: it joins that run.
    DuplicateRun { run_id: RunId },
    /// The same request id with another payload. The first request and its run stay; `differs` holds JSON pointers.
    Conflict { run_id: RunId, differs: Vec<String> },
    /// The message is malformed or not allowed.
    Rejected { code: FailureCode },
    /// The run was stopped, or its bundle will be announced again.
    CommandApplied { run_id: RunId },
    /// The run is unknown, or its state does not allow the command.
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

    /// The failure code of the record's dead letter; `None` if the outcome has none.
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
    /// The bundle is confirmed before its announcement is marked as sent: the mark will make the run PUBLISHED.
    Remembered,
    /// The registry rejected the bundle: the run waits for an operator, with the registry's reason.
    Rejected,
    /// This event was applied before.
    Repeated,
    /// Too late to matter: the run is PUBLISHED, or the bundle was confirmed before this rejection.
    Late,
    /// No bundle was announced under this reference and scope.
    Unknown,
    /// The event is not about an announced bundle.
    Other,
    /// The record does not match the event's schema.
    Malformed,
    /// The ledger refuses to apply the event: a defect, or a row written by hand.
    Refused,
}

named!(RegistryReply, "{:?} is not a registry reply");

/// Kind of an outbox record; decides its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum OutboxKind {
    Lifecycle,
    Publication,
    DeadLetter,
    /// An OpenLineage `RunEvent`; kept in a table of its own.
    Lineage,
}

named!(OutboxKind, "{:?} is not a kind of outbox record");
