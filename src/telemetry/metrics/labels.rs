//! Labels and their values: closed sets, or names and numbers of the operator's configuration.

use crate::domain::run::{FailureCode, State};
use crate::version;
use metrics::Label;

/// The labels of a metric.
pub trait Labels: Sized {
    /// Their names and values, for whoever reads.
    fn legend() -> Vec<Legend>;
    /// Every combination that may come; none where the configuration decides.
    fn all() -> Vec<Self>;
    /// As the recorder takes them.
    fn pairs(self) -> Vec<Label>;
}

/// A label and its values.
#[derive(Debug, Clone)]
pub struct Legend {
    /// Its name.
    pub name: &'static str,
    /// Its values.
    pub values: Values,
}

/// The values of a label.
#[derive(Debug, Clone)]
pub enum Values {
    /// These, each with what it means.
    Closed(Vec<(&'static str, &'static str)>),
    /// Failure codes; in some places also these.
    Codes(&'static [&'static str]),
    /// As many as this says.
    Bounded(&'static str),
}

impl Labels for () {
    fn legend() -> Vec<Legend> {
        Vec::new()
    }

    fn all() -> Vec<Self> {
        vec![()]
    }

    fn pairs(self) -> Vec<Label> {
        Vec::new()
    }
}

impl<A: Labels + Clone, B: Labels> Labels for (A, B) {
    fn legend() -> Vec<Legend> {
        [A::legend(), B::legend()].concat()
    }

    fn all() -> Vec<Self> {
        A::all().into_iter().flat_map(|a| B::all().into_iter().map(move |b| (a.clone(), b))).collect()
    }

    fn pairs(self) -> Vec<Label> {
        [self.0.pairs(), self.1.pairs()].concat()
    }
}

/// A label with a closed set of values.
macro_rules! label {
    ($(#[doc = $doc:literal])+ $type:ident as $name:literal {
        $(#[doc = $meaning:literal] $variant:ident = $value:literal,)+
    }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $type {
            $(#[doc = $meaning] $variant,)+
        }

        impl $type {
            /// Its value on the page.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $value,)+
                }
            }
        }

        impl Labels for $type {
            fn legend() -> Vec<Legend> {
                vec![Legend { name: $name, values: Values::Closed(vec![$(($value, $meaning.trim_ascii()),)+]) }]
            }

            fn all() -> Vec<Self> {
                vec![$(Self::$variant,)+]
            }

            fn pairs(self) -> Vec<Label> {
                vec![Label::from_static_parts($name, self.as_str())]
            }
        }
    };
}

label! {
    /// What became of a record of the request topic.
    Admission as "outcome" {
        /// a new meaning: a run was made
        Admitted = "admitted",
        /// the same request again
        DuplicateRequest = "duplicate_request",
        /// another request of the same meaning: it joined the run
        DuplicateRun = "duplicate_run",
        /// the id of an earlier request with other content: dead letter
        Conflict = "conflict",
        /// a bad message: dead letter
        Rejected = "rejected",
        /// a command that was carried out
        CommandApplied = "command_applied",
        /// a command that could not be: dead letter
        CommandRejected = "command_rejected",
    }
}

label! {
    /// A stage of a run.
    Stage as "stage" {
        /// read the documents, make the plan
        Resolve = "resolve",
        /// fetch the data, fit and measure in a child process, keep what it left
        Train = "train",
        /// write the evaluation report
        Evaluate = "evaluate",
        /// hold the report against the thresholds; a verdict against the model is `done` too
        Gate = "gate",
        /// pack and sign
        Bundle = "bundle",
        /// put the announcement into the outbox; publish-only attempts too, which verify the bundle first
        Publish = "publish",
    }
}

label! {
    /// How a stage ended.
    StageEnd as "outcome" {
        /// it was carried out
        Done = "done",
        /// an earlier attempt had done it: found and verified
        Reused = "reused",
        /// it failed, and the attempt with it
        Failed = "failed",
        /// lease lost, cancelled, worker shutting down, or ledger away
        Stopped = "stopped",
    }
}

label! {
    /// Who saw that a lease was lost.
    NoticedBy as "noticed_by" {
        /// the worker's own clock: it could not renew in time
        OwnClock = "own_clock",
        /// the ledger, when it was asked to renew
        Ledger = "ledger",
    }
}

label! {
    /// A write that the ledger refused.
    Stale as "kind" {
        /// steps of a run
        Step = "step",
        /// giving a run back
        Release = "release",
        /// renewing a lease
        Heartbeat = "heartbeat",
        /// marking a record of the outbox as sent
        MarkSent = "mark_sent",
    }
}

label! {
    /// What a record of the registry's topic led to.
    Heard as "outcome" {
        /// the run is PUBLISHED
        Published = "published",
        /// confirmed before the announcement was marked as sent
        Remembered = "remembered",
        /// the run waits for an operator
        Rejected = "rejected",
        /// applied before
        Repeated = "repeated",
        /// nobody waits for it any more
        Late = "late",
        /// about no bundle of ours
        Unknown = "unknown",
        /// of a type that asks nothing of us
        Other = "other",
        /// no event by its schema
        Malformed = "malformed",
        /// the ledger refuses it: a defect, or a row made by hand
        Refused = "refused",
    }
}

label! {
    /// What happened to the partitions of this worker.
    Change as "change" {
        /// it got some
        Assigned = "assigned",
        /// it gave up all
        Revoked = "revoked",
        /// the group's answer was an error
        Failed = "failed",
    }
}

label! {
    /// What a record of the outbox is.
    OutboxSort as "kind" {
        /// an event about a request or run
        Lifecycle = "lifecycle",
        /// the announcement of a bundle
        Publication = "publication",
        /// a refused record
        DeadLetter = "dead_letter",
        /// an OpenLineage event
        Lineage = "lineage",
    }
}

impl Labels for State {
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

impl Labels for FailureCode {
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

/// Where a run came to, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The gate passed.
    Passed,
    /// It failed.
    Failed(FailureCode),
    /// It was published.
    Published,
}

impl Labels for Ended {
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

impl Labels for Requeued {
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

/// This build.
#[derive(Debug)]
pub struct BuildInfo;

impl Labels for BuildInfo {
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

/// What a worker needs at hand, by the name that `/readyz` gives it.
#[derive(Debug)]
pub struct Need(pub &'static str);

impl Labels for Need {
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
pub struct Loop(pub String);

impl Labels for Loop {
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
    /// Its topic, as configured.
    pub topic: String,
    /// Its number.
    pub partition: i32,
}

impl Labels for Partition {
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
