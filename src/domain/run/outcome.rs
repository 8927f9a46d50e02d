//! What became of a record of the request topic or the registry's topic. Also the kinds of outbox records.

use super::failure::FailureCode;
use crate::domain::identity::RunId;
use crate::domain::named::named;
use serde::{Deserialize, Serialize};
use strum::{EnumDiscriminants, IntoStaticStr, VariantArray};

/// What became of a record of the request topic. Each record has exactly one outcome, which never changes.
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
    /// The request or command has the id and the content of an earlier one, or this record was read before. `run_id` is
    /// the run of the first one.
    DuplicateRequest { run_id: RunId },
    /// The request has a new id and the meaning of an earlier request. It joins the earlier request's run.
    DuplicateRun { run_id: RunId },
    /// The request has the id of an earlier request and another payload. The earlier request and its run stay.
    /// `differs` holds JSON pointers to the fields that differ.
    Conflict { run_id: RunId, differs: Vec<String> },
    /// The message is malformed or not allowed.
    Rejected { code: FailureCode },
    /// A command was carried out: the run was stopped, or its bundle will be announced again.
    CommandApplied { run_id: RunId },
    /// A command was refused: the run is unknown, or its state does not allow the command.
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

    /// Returns the failure code of the record's dead letter. `None` if the outcome writes no dead letter.
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

/// What the ledger did with a record of the registry's topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum RegistryReply {
    Published,
    /// The registry confirmed the bundle before the relay marked its announcement as sent. The mark will make the run
    /// PUBLISHED.
    Remembered,
    /// The registry rejected the bundle. The run waits for an operator, with the registry's reason.
    Rejected,
    /// The same event was applied before.
    Repeated,
    /// The reply changes nothing: nobody waits for it, for example because the run is PUBLISHED, or the registry had
    /// confirmed the bundle that it now rejects.
    Late,
    /// No bundle was announced with the event's reference and scope.
    Unknown,
    /// The event says neither that a bundle is published nor that it is rejected.
    Other,
    /// The record does not match the event's schema.
    Malformed,
    /// The ledger refuses to apply the event, because of a defect or a row written by hand.
    Refused,
}

named!(RegistryReply, "{:?} is not a registry reply");

/// Kind of an outbox record. The kind decides the record's topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum OutboxKind {
    Lifecycle,
    Publication,
    DeadLetter,
    /// An OpenLineage `RunEvent`, kept in a separate table.
    Lineage,
}

named!(OutboxKind, "{:?} is not a kind of outbox record");
