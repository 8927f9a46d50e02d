//! Messages on the topics. Each file is named after its schema.

mod cloud_event;
mod publication;
mod registry_lifecycle;
mod run_lifecycle;
mod signed_request;
mod train_build_request;

pub use cloud_event::CloudEventAttributes;
pub use publication::{BundleArtifact, BundlePublication, Compatibility, PublicationProvenance};
pub use registry_lifecycle::{RegistryEvent, RegistryVerdict};
pub use run_lifecycle::{
    Deduplication, EventProgress, EventReason, EventRefs, EventType, EvidenceRef, RunLifecycleEvent, SameAs, event_id,
    unreported, without_many_inputs,
};
pub use signed_request::{SIGNED_REQUEST_TYPE, SignedEnvelope};
pub use train_build_request::{Apart, IntentKind, Joined, Revisions, TargetScope, TrainBuildRequest};

pub(super) use cloud_event::EventData;
