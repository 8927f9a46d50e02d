//! Enums of the domain as labels: the value on the page and what it means.

use super::label_set::{LabelSet, Legend, Values};
use crate::domain::run::{OutboxKind, OutcomeKind, RegistryReply};
use metrics::Label;

/// Value and meaning, for the implementation of [`LabelSet`] below.
trait DomainLabel: Copy + 'static {
    const NAME: &'static str;
    const EVERY: &'static [Self];

    fn described(self) -> (&'static str, &'static str);
}

impl DomainLabel for OutcomeKind {
    const NAME: &'static str = "outcome";
    const EVERY: &'static [Self] = Self::ALL;

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

impl DomainLabel for RegistryReply {
    const NAME: &'static str = "outcome";
    const EVERY: &'static [Self] = Self::ALL;

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

impl DomainLabel for OutboxKind {
    const NAME: &'static str = "kind";
    const EVERY: &'static [Self] = &Self::ALL;

    fn described(self) -> (&'static str, &'static str) {
        match self {
            Self::Lifecycle => ("lifecycle", "an event about a request or run"),
            Self::Publication => ("publication", "the announcement of a bundle"),
            Self::DeadLetter => ("dead_letter", "a refused record"),
            Self::Lineage => ("lineage", "an OpenLineage event"),
        }
    }
}

macro_rules! labels {
    ($($type:ident),+) => {
        $(impl LabelSet for $type {
            fn legend() -> Vec<Legend> {
                let values = Self::EVERY.iter().map(|value| value.described()).collect();
                vec![Legend { name: Self::NAME, values: Values::Closed(values) }]
            }

            fn all() -> Vec<Self> {
                Self::EVERY.to_vec()
            }

            fn pairs(self) -> Vec<Label> {
                vec![Label::from_static_parts(Self::NAME, self.described().0)]
            }
        })+
    };
}

labels!(OutcomeKind, RegistryReply, OutboxKind);
