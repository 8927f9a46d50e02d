//! What may cross the wire: schemas, typed messages and documents, and `parse` as the only way in.
//!
//! The folders mirror `schemas/`: a file holds the types of one message or document, and is named as its schema. The
//! schema describes every field; a comment here says what the schema and the name do not.
//!
//! Guarantees: a value of these types came through its schema (or Model Factory made it, and a test checks it
//! against the schema); a bad message becomes a [`Rejection`] with code, JSON pointer and rule.
//! Never: opens a reference, asks a clock, decides on a header.

mod allow_list;
mod evidence;
mod message;
mod messages;
mod parse;
mod profiles;
mod reference;
mod rejection;
mod sameness;
mod schema;
mod strict;
mod trainer;
mod wrapping;

pub use allow_list::AllowList;
pub use evidence::{
    ActKind, ActReason, ActSubject, Actor, ActorKind, AnnouncedRecord, Anomaly, AnomalyCode, AttemptRecord, AuditAct,
    AuditActs, BoostEvalMetric, BoostObjective, BoostParameters, BoostTreeMethod, BuiltInAlgorithm, BundleLineage,
    BundleManifest, CalibrationBin, CategoryValue, ChampionVerdict, ColumnRoles, CompleteMarker, Confirmation,
    Confusion, Curves, DatasetManifest, DatasetSummary, Decision, Difference, DifferenceVerdict, Differences,
    Direction, Eligibility, EvalMetrics, EvalProvenance, EvalReport, Evaluation, EvidencePack, ExpectedLabels,
    FeatureCategories, FeatureEffect, FeatureSet, GateReceipt, GrantedLimits, Head, HistogramBin, Interval,
    InvalidHead, LabelBasis, LeakageReport, LeakageRule, ManifestProvenance, Materialization, MetricValue, Metrics,
    ParityCase, ParityOrigin, ParityValue, ParityVector, ParityVectors, PinnedBundle, PinnedCommand, PinnedDocument,
    PinnedFile, PinnedManifest, PinnedModel, PlannedChampion, PlannedSplit, PositivesVerdict, PrecisionRecallPoint,
    ProcessAlgorithm, PrunedRows, PublishEligibility, PublishReceipt, ReconciledRun, Reconciliation,
    ReconciliationCounters, ReplayBasis, ResolvedAlgorithm, Revisions, RocPoint, SettledSplit, Shares, Slice, SlicedBy,
    StateChange, ThresholdVerdict, TimeShares, TimeWindow, TrainPlan, TrainingRecord, WindowDays, WindowSummary,
    Windows,
};
pub use message::Message;
pub use messages::{
    BundleArtifact, BundlePublication, CancelRequest, CloudEventAttributes, Compatibility, Deduplication,
    EventProgress, EventReason, EventRefs, EventType, EvidenceRef, IntentKind, LifecycleProvenance,
    PublicationProvenance, PublishRetryRequest, RegistryEvent, RegistryVerdict, RunLifecycleEvent, SIGNED_REQUEST_TYPE,
    SameAs, SignedEnvelope, TargetScope, TrainBuildRequest, event_id,
};
pub use parse::{MAX_MESSAGE_BYTES, OpenedMessage, event_around, open, parse, parse_accepted};
pub use profiles::{
    Algorithm, Anchor, BootstrapSpec, BundleRef, CanarySpec, ChampionSpec, Controls, DatesSpec, DaysSpec,
    EvaluationSpec, Feature, FeatureKind, GovernanceProfile, JudgedBound, LeakageSpec, Limits, Monotone,
    OwnershipBoundaries, SeedPolicy, ShareSpec, SliceSpec, SplitSpec, ThresholdBasis, ThresholdSpec, TrainingProfile,
    WindowSpec,
};
pub use reference::{Location, Reference, ReferenceError};
pub use rejection::{RejectedIds, Rejection};
pub use sameness::{Apart, Joined};
pub use schema::{DocumentError, SchemaName, check, read_json, read_yaml, read_yaml_all, schema_text};
pub use strict::{StrictJsonError, parse_strict};
pub use trainer::{JobFiles, JobRows, ModelFormat, SavedModel, TrainerJob, TrainerResult};
pub use wrapping::Wrapping;
