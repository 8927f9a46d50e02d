//! Records on the topics, in files named as their schemas.

mod bundle_publication;
mod cloud_event;
mod commands;
mod registry_lifecycle;
mod run_lifecycle;
mod signed_request;
mod train_build_request;

pub use bundle_publication::{BundleArtifact, BundlePublication, Compatibility, PublicationProvenance};
pub use cloud_event::CloudEventAttributes;
pub use commands::CommandMessage;
pub use registry_lifecycle::{RegistryEvent, RegistryVerdict};
pub use run_lifecycle::{
    Deduplication, EventProgress, EventReason, EventRefs, EventType, EvidenceRef, RunLifecycleEvent, SameAs, event_id,
};
pub use signed_request::{SIGNED_REQUEST_TYPE, SignedEnvelope};
pub use train_build_request::{Apart, IntentKind, Joined, Revisions, TargetScope, TrainBuildRequest};

pub(super) use cloud_event::EventData;
