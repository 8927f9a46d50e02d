//! What crosses the wire: schemas, typed messages and documents. Every message enters through `parse`.
//!
//! The folders mirror `schemas/`. A file holds the types of one message or document, and is named after its schema. The
//! schema describes every field. Comments say only what schema and name do not. The `schema_version` of a document is
//! always `SCHEMA_VERSION` of its type, the only version that this release reads or writes.
//!
//! Guarantees: a value of these types was checked against its schema, or Model Factory made it and a test checks it. A
//! wrong message becomes a [`Rejection`] with code, JSON pointer and rule. Never: opens a reference, reads a clock,
//! decides by a header.

mod allow_list;
mod category;
mod cut_record;
mod evidence;
mod first_error;
mod foreign;
mod message;
mod messages;
mod object_list;
mod parse;
mod profiles;
mod reference;
mod schema;
mod strict;
mod trainer;
mod wrapping;

pub use allow_list::AllowList;
pub use category::CategoryValue;
pub use cut_record::CutRecord;
pub use evidence::*;
pub use foreign::{read_foreign_json, read_foreign_yaml};
pub use message::{CommandMessage, Message, RejectedIds, Rejection};
pub use messages::{
    Apart, BundleArtifact, BundlePublication, CloudEventAttributes, Compatibility, Deduplication, EventProgress,
    EventReason, EventRefs, EventType, EvidenceRef, IntentKind, Joined, PublicationProvenance, RegistryEvent,
    RegistryVerdict, Revisions, RunLifecycleEvent, SIGNED_REQUEST_TYPE, SameAs, SignedEnvelope, TargetScope,
    TrainBuildRequest, event_id, unreported, without_many_inputs,
};
pub use object_list::{ObjectList, ObjectName};
pub use parse::{
    MAX_MESSAGE_BYTES, OpenedMessage, envelope_around, event_around, message_accepted, open, parse, parse_accepted,
};
pub use profiles::{
    Algorithm, Anchor, AucLimit, BundleRef, CanarySpec, CandidateSpec, ChampionSpec, ClusterRule, ColumnExpectation,
    Controls, CostSpec, DataExpectation, DaysExpectation, DaysSpec, DrawnFrom, DrawnRange, DrawnScale, EvaluationSpec,
    Feature, FeatureKind, GovernanceProfile, IntervalSpec, JudgedBound, LeakageSpec, Limits, Monotone,
    OperatingPointSpec, OwnershipBoundaries, PointTarget, ProfileRef, RatioCondition, SearchSpec, SeedPolicy,
    ShareSpec, SliceCondition, SliceSpec, SplitSpec, SwitchedOff, ThresholdBasis, ThresholdSpec, TimeWindow,
    TrainingProfile, UnknownSlices, WindowName, WindowSpec,
};
pub use reference::{Location, Reference, ReferenceError};
pub use schema::{DocumentError, SchemaName, check, read_json, read_yaml, read_yaml_all, schema_text};
pub use strict::{StrictJsonError, parse_strict};
pub use trainer::{JobFiles, JobRows, ModelFormat, SavedModel, TrainerJob, TrainerResult};
pub use wrapping::Wrapping;
