//! `PublishReceipt`: where the bundle was announced, and who confirmed it.

use crate::domain::contract::BundlePublication;
use crate::domain::identity::{Digest, RunId};
use serde::{Deserialize, Serialize};

/// `publish/publish_receipt.json`. Nothing in it depends on who writes it, or when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishReceipt {
    /// Always [`Self::SCHEMA_VERSION`].
    pub schema_version: String,
    pub run_id: RunId,
    pub bundle_id: Digest,
    pub bundle_version: String,
    /// Folder of the bundle in the evidence store.
    pub bundle_ref: String,
    /// Digest of `bundle.json`.
    pub bundle_digest: Digest,
    /// `environment/mode/bundle_slot[/tenant_id]`; the record's key.
    pub scope_key: String,
    /// The announcement as the broker acknowledged it.
    pub record: AnnouncedRecord,
    pub confirmed: Confirmation,
}

impl PublishReceipt {
    /// The version that this release writes.
    pub const SCHEMA_VERSION: &'static str = "learning.publish_receipt.v0";

    pub fn of(publication: BundlePublication, record: AnnouncedRecord, confirmed: Confirmation) -> Self {
        Self {
            schema_version: Self::SCHEMA_VERSION.to_owned(),
            run_id: publication.run_id,
            bundle_id: publication.bundle_id,
            bundle_version: publication.bundle_version,
            bundle_ref: publication.bundle_ref,
            bundle_digest: publication.bundle_digest,
            scope_key: publication.scope_key,
            record,
            confirmed,
        }
    }
}

/// A record of the publications topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnnouncedRecord {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// Its `ce_id`.
    pub event_id: String,
    /// Digest of its value.
    pub sha256: Digest,
}

/// Who made the run PUBLISHED.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
pub enum Confirmation {
    /// The broker acknowledged the record.
    Broker,
    /// The registry holds the bundle, as this event of it says.
    Registry { registry_event_id: String },
}
