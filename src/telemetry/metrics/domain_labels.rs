//! Defines the labels whose values come from the domain: states, failure codes, outcomes, replies of the registry,
//! kinds of outbox records.

use super::label_set::{ClosedLabel, LabelSet, Legend, Values};
use crate::domain::run::{FailureCode, OutboxKind, OutcomeKind, RegistryReply, State};
use metrics::Label;

impl ClosedLabel for State {
    const NAME: &'static str = "state";

    fn described(self) -> (&'static str, &'static str) {
        let meaning = match self {
            Self::Queued => "waits for a worker",
            Self::Running => "a worker holds it",
            Self::EvalReady => "measured; the verdict is to come",
            Self::Pass => "passed, and not to be published",
            Self::Fail => "ended without a model that may be used",
            Self::PublishPending => "passed; its announcement is not acknowledged or confirmed yet",
            Self::Published => "announced",
        };
        (self.as_str(), meaning)
    }
}

impl ClosedLabel for OutcomeKind {
    const NAME: &'static str = "outcome";

    fn described(self) -> (&'static str, &'static str) {
        match self {
            Self::Admitted => ("admitted", "a new meaning: a run was made"),
            Self::DuplicateRequest => ("duplicate_request", "the same request again"),
            Self::DuplicateRun => ("duplicate_run", "another request of the same meaning: it joined the run"),
            Self::Conflict => ("conflict", "the id of an earlier request with other content: dead letter"),
            Self::Rejected => ("rejected", "a bad message: dead letter"),
            Self::CommandApplied => ("command_applied", "a command that was carried out"),
            Self::CommandRejected => ("command_rejected", "a command that could not be: dead letter"),
        }
    }
}

impl ClosedLabel for RegistryReply {
    const NAME: &'static str = "outcome";

    fn described(self) -> (&'static str, &'static str) {
        let meaning = match self {
            Self::Published => "the run is PUBLISHED",
            Self::Remembered => "confirmed before the announcement was marked as sent",
            Self::Rejected => "the run waits for an operator",
            Self::Repeated => "applied before",
            Self::Late => "nobody waits for it any more",
            Self::Unknown => "about no bundle of ours",
            Self::Other => "of a type that asks nothing of us",
            Self::Malformed => "no event by its schema",
            Self::Refused => "the ledger refuses it: a defect, or a row made by hand",
        };
        (self.as_str(), meaning)
    }
}

impl ClosedLabel for OutboxKind {
    const NAME: &'static str = "kind";

    fn described(self) -> (&'static str, &'static str) {
        match self {
            Self::Lifecycle => ("lifecycle", "an event about a request or run"),
            Self::Publication => ("publication", "the announcement of a bundle"),
            Self::DeadLetter => ("dead_letter", "a rejected record"),
            Self::Lineage => ("lineage", "an OpenLineage event"),
        }
    }
}

impl LabelSet for FailureCode {
    fn legend() -> Vec<Legend> {
        vec![Legend { name: "reason", values: Values::Codes(&[]) }]
    }

    fn all() -> Vec<Self> {
        Self::ALL.to_vec()
    }

    fn pairs(self) -> Vec<Label> {
        vec![Label::from_static_parts("reason", self.as_str())]
    }
}

/// The state that a run ended in. For FAIL, this includes the failure code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunEnd {
    Passed,
    Failed(FailureCode),
    Published,
}

impl LabelSet for RunEnd {
    fn legend() -> Vec<Legend> {
        let states = vec![("PASS", "the gate passed"), ("FAIL", "it failed"), ("PUBLISHED", "it was published")];
        vec![
            Legend { name: "state", values: Values::Closed(states) },
            Legend { name: "reason", values: Values::Codes(&["none"]) },
        ]
    }

    fn all() -> Vec<Self> {
        let failed = FailureCode::ALL.iter().map(|code| Self::Failed(*code));
        [Self::Passed, Self::Published].into_iter().chain(failed).collect()
    }

    fn pairs(self) -> Vec<Label> {
        let (state, reason) = match self {
            Self::Passed => ("PASS", "none"),
            Self::Published => ("PUBLISHED", "none"),
            Self::Failed(code) => ("FAIL", code.as_str()),
        };
        vec![Label::from_static_parts("state", state), Label::from_static_parts("reason", reason)]
    }
}

/// Why a run went back to the queue. `None` if its worker shut down and gave the run back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requeued(pub Option<FailureCode>);

impl LabelSet for Requeued {
    fn legend() -> Vec<Legend> {
        vec![Legend { name: "reason", values: Values::Codes(&["none"]) }]
    }

    fn all() -> Vec<Self> {
        std::iter::once(None).chain(FailureCode::ALL.iter().copied().map(Some)).map(Self).collect()
    }

    fn pairs(self) -> Vec<Label> {
        vec![Label::from_static_parts("reason", self.0.map_or("none", FailureCode::as_str))]
    }
}
