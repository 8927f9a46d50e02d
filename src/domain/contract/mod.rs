//! What may cross the wire: schemas, typed messages and documents, and `parse` as the only way in.
//!
//! Guarantees: a value of these types came through its schema (or was made by us and is checked
//! against it by a test); a bad message becomes a [`Rejection`] with code, JSON pointer and rule.
//! Never: opens a reference, asks a clock, decides on a header.

mod allow_list;
mod cloud_event;
mod envelope;
mod evaluation;
mod event;
mod governance;
mod manifest;
mod ownership;
mod parse;
mod profile;
mod publication;
mod reference;
mod registry;
mod request;
mod sameness;
mod schema;
mod strict;
mod wrapping;

pub use allow_list::AllowList;
pub use cloud_event::CloudEvent;
pub use envelope::{SIGNED_REQUEST_TYPE, SignedEnvelope};
pub use evaluation::{BootstrapSpec, EvaluationSpec, SliceSpec};
pub use event::{
    Deduplication, EventProgress, EventReason, EventRefs, EventType, EvidenceRef, LIFECYCLE_SCHEMA_VERSION,
    LifecycleProvenance, RunLifecycleEvent, SameAs, event_id,
};
pub use governance::{
    BundleRef, ChampionSpec, Controls, GovernanceProfile, JudgedBound, ThresholdBasis, ThresholdSpec,
};
pub use manifest::{
    ColumnRoles, DatasetManifest, ExpectedLabels, FeatureSet, LabelBasis, ManifestProvenance, Materialization,
    ReplayBasis,
};
pub use ownership::OwnershipBoundaries;
pub use parse::{
    MAX_MESSAGE_BYTES, Message, Opened, RejectedIds, Rejection, event_around, open, parse, parse_accepted,
};
pub use profile::{
    Algorithm, Anchor, CanarySpec, DatesSpec, DaysSpec, Feature, FeatureKind, LeakageSpec, Limits, Monotone,
    SeedPolicy, ShareSpec, SplitSpec, TrainingProfile, WindowSpec,
};
pub use publication::{BundleArtifact, BundlePublication, Compatibility, PublicationProvenance};
pub use reference::{Location, Reference, ReferenceError};
pub use registry::{RegistryEvent, RegistryVerdict};
pub use request::{CancelRequest, IntentKind, PublishRetryRequest, TargetScope, TrainBuildRequest};
pub use sameness::{Apart, Joined};
pub use schema::{DocumentError, SchemaName, check, read_json, read_yaml, read_yaml_all, schema_text};
pub use strict::{StrictJsonError, parse_strict};
pub use wrapping::Wrapping;
