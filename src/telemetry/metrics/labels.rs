//! Every label and its values. The documentation of a variant is its meaning in `docs/metrics.md`.

use super::label_set::{ClosedLabel, LabelSet, Legend, Values};
use crate::domain::run::{FailureCode, State};
use crate::version;
use metrics::Label;
use strum::{EnumMessage, IntoStaticStr, VariantArray};

/// A stage of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumMessage, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Stage {
    /// read the documents, make the plan
    Resolve,
    /// fetch the data, fit and measure in a child process, keep what it left
    Train,
    /// write the evaluation report
    Evaluate,
    /// hold the report against the thresholds; a verdict against the model is `done` too
    Gate,
    /// pack and sign
    Bundle,
    /// put the announcement into the outbox; publish-only attempts too, which verify the bundle first
    Publish,
}

impl ClosedLabel for Stage {
    const NAME: &'static str = "stage";
}

/// How a stage ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumMessage, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum StageEnd {
    /// it was carried out
    Done,
    /// an earlier attempt had done it: found and verified
    Reused,
    /// it failed, and the attempt with it
    Failed,
    /// lease lost, cancelled, worker shutting down, or ledger away
    Stopped,
}

impl ClosedLabel for StageEnd {
    const NAME: &'static str = "outcome";
}

/// Who saw that a lease was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumMessage, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum NoticedBy {
    /// the worker's own clock: it could not renew in time
    OwnClock,
    /// the ledger, when it was asked to renew
    Ledger,
}

impl ClosedLabel for NoticedBy {
    const NAME: &'static str = "noticed_by";
}

/// A write that the ledger refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumMessage, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum StaleWrite {
    /// steps of a run
    Step,
    /// giving a run back
    Release,
    /// renewing a lease
    Heartbeat,
    /// marking a record of the outbox as sent
    MarkSent,
}

impl ClosedLabel for StaleWrite {
    const NAME: &'static str = "kind";
}

/// What happened to the partitions of this worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumMessage, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum PartitionChange {
    /// it got some
    Assigned,
    /// it gave up all
    Revoked,
    /// the group's answer was an error
    Failed,
}

impl ClosedLabel for PartitionChange {
    const NAME: &'static str = "change";
}

impl LabelSet for State {
    fn legend() -> Vec<Legend> {
        let meaning = |state: &State| match state {
            State::Queued => "waits for a worker",
            State::Running => "a worker holds it",
            State::EvalReady => "measured; the verdict is to come",
            State::Pass => "passed, and not to be published",
            State::Fail => "ended without a model that may be used",
            State::PublishPending => "passed; its announcement is not acknowledged or confirmed yet",
            State::Published => "announced",
        };
        let values = Self::ALL.iter().map(|state| (state.as_str(), meaning(state))).collect();
        vec![Legend { name: "state", values: Values::Closed(values) }]
    }

    fn all() -> Vec<Self> {
        Self::ALL.to_vec()
    }

    fn pairs(self) -> Vec<Label> {
        vec![Label::from_static_parts("state", self.as_str())]
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

/// How a run ended, and why.
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

/// Why a run went back to the queue; without a code where its worker shut down.
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

/// This build, as [`version`] knows it.
#[derive(Debug)]
pub struct BuildInfo;

impl LabelSet for BuildInfo {
    fn legend() -> Vec<Legend> {
        let of = |name, bound| Legend { name, values: Values::Bounded(bound) };
        vec![
            of("version", "the release"),
            of("commit", "the commit, or `unknown`"),
            of("build", "`release` or `debug`"),
            of("target", "processor and operating system"),
        ]
    }

    fn all() -> Vec<Self> {
        vec![Self]
    }

    fn pairs(self) -> Vec<Label> {
        vec![
            Label::from_static_parts("version", version::VERSION),
            Label::from_static_parts("commit", version::COMMIT),
            Label::from_static_parts("build", version::PROFILE),
            Label::from_static_parts("target", version::target()),
        ]
    }
}

/// What a worker needs, by the name that `/readyz` gives it.
#[derive(Debug)]
pub struct NeedLabel(pub &'static str);

impl LabelSet for NeedLabel {
    fn legend() -> Vec<Legend> {
        let values = vec![
            ("database", "the ledger answers"),
            ("broker", "Kafka answers"),
            ("store", "the evidence store answers; of workers that run runs"),
        ];
        vec![Legend { name: "need", values: Values::Closed(values) }]
    }

    fn all() -> Vec<Self> {
        Vec::new()
    }

    fn pairs(self) -> Vec<Label> {
        vec![Label::from_static_parts("need", self.0)]
    }
}

/// A loop of this process, by the name that `/livez` gives it.
#[derive(Debug)]
pub struct LoopLabel(pub String);

impl LabelSet for LoopLabel {
    fn legend() -> Vec<Legend> {
        let bound = "`intake`, `runner 1` and so on to the number of slots, `heartbeats`, `maintenance`, `relay`, `registry`: \
                     those of the worker's roles";
        vec![Legend { name: "loop", values: Values::Bounded(bound) }]
    }

    fn all() -> Vec<Self> {
        Vec::new()
    }

    fn pairs(self) -> Vec<Label> {
        vec![Label::new("loop", self.0)]
    }
}

/// A partition that this worker holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Partition {
    pub topic: String,
    pub partition: i32,
}

impl LabelSet for Partition {
    fn legend() -> Vec<Legend> {
        vec![
            Legend { name: "topic", values: Values::Bounded("the request topic, and the registry's where it is read") },
            Legend { name: "partition", values: Values::Bounded("partitions that this worker holds now") },
        ]
    }

    fn all() -> Vec<Self> {
        Vec::new()
    }

    fn pairs(self) -> Vec<Label> {
        vec![Label::new("topic", self.topic), Label::new("partition", self.partition.to_string())]
    }
}
