//! Records on the topics, one file a message, named as its schema.

mod bundle_publication;
mod cancel;
mod cloud_event;
mod publish_retry;
mod registry_lifecycle;
mod run_lifecycle;
mod signed_request;
mod train_build_request;

pub use bundle_publication::{BundleArtifact, BundlePublication, Compatibility, PublicationProvenance};
pub use cancel::CancelRequest;
pub use cloud_event::CloudEventAttributes;
pub use publish_retry::PublishRetryRequest;
pub use registry_lifecycle::{RegistryEvent, RegistryVerdict};
pub use run_lifecycle::{
    Deduplication, EventProgress, EventReason, EventRefs, EventType, EvidenceRef, LifecycleProvenance,
    RunLifecycleEvent, SameAs, event_id,
};
pub use signed_request::{SIGNED_REQUEST_TYPE, SignedEnvelope};
pub use train_build_request::{IntentKind, TargetScope, TrainBuildRequest};

pub(super) use cloud_event::EventData;
