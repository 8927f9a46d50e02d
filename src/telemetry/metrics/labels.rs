//! Defines the labels of the worker: stages, leases, loops, partitions. The doc comment of a variant is its meaning in
//! `docs/metrics.md`.

use super::label_set::{DocumentedLabel, LabelSet, Legend, Values};
use crate::version;
use metrics::Label;
use strum::{EnumMessage, IntoStaticStr, VariantArray};

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

impl DocumentedLabel for Stage {
    const NAME: &'static str = "stage";
}

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

impl DocumentedLabel for StageEnd {
    const NAME: &'static str = "outcome";
}

/// Who found that a lease was lost: the worker's own clock or the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumMessage, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum NoticedBy {
    /// the worker's own clock: it could not renew in time
    OwnClock,
    /// the ledger, when it was asked to renew
    Ledger,
}

impl DocumentedLabel for NoticedBy {
    const NAME: &'static str = "noticed_by";
}

/// The kind of a write that the ledger refused because the lease was lost.
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

impl DocumentedLabel for StaleWrite {
    const NAME: &'static str = "kind";
}

/// How the group coordinator changed the partitions of this worker.
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

impl DocumentedLabel for PartitionChange {
    const NAME: &'static str = "change";
}

/// Why a partition is read from elsewhere than Kafka's committed offset says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumMessage, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Correction {
    /// the committed offset was ahead of the ledger, as after a restore: intake went back
    AheadOfLedger,
    /// the topic had deleted records before anybody read them: those are lost
    DeletedUnread,
    /// the log ended before what was read: it was cut, or made anew
    EndLost,
    /// the topic was made anew: intake began with its first record
    MadeAnew,
}

impl DocumentedLabel for Correction {
    const NAME: &'static str = "why";
}

/// The labels of this build, with the values of [`version`].
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

/// A service that a worker depends on, by its name in `/readyz`.
pub struct NeedLabel(pub &'static str);

impl LabelSet for NeedLabel {
    fn legend() -> Vec<Legend> {
        let values = vec![
            ("database", "the ledger answers"),
            ("broker", "Kafka answers"),
            ("store", "the evidence store answers; of workers that run runs"),
            (
                "attempts",
                "no attempt of the last minute lacked disk, memory, descriptors or the store; of workers that run runs",
            ),
        ];
        vec![Legend { name: "need", values: Values::Closed(values) }]
    }

    fn pairs(self) -> Vec<Label> {
        vec![Label::from_static_parts("need", self.0)]
    }
}

/// A loop of this process, by its name in `/livez`.
pub struct LoopLabel(pub String);

impl LabelSet for LoopLabel {
    fn legend() -> Vec<Legend> {
        let bound = "`intake`, `runner 1` and so on to the number of slots, `heartbeats`, `maintenance`, `relay`, `registry`: \
                     those of the worker's roles";
        vec![Legend { name: "loop", values: Values::Bounded(bound) }]
    }

    fn pairs(self) -> Vec<Label> {
        vec![Label::new("loop", self.0)]
    }
}

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

    fn pairs(self) -> Vec<Label> {
        vec![Label::new("topic", self.topic), Label::new("partition", self.partition.to_string())]
    }
}
