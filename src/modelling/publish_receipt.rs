//! The receipt of a publication: where the bundle was announced, and whose word makes the run PUBLISHED.

use crate::domain::contract::BundlePublication;
use crate::domain::identity::{Digest, RunId};
use serde::{Deserialize, Serialize};

/// `publish/publish_receipt.json`, `learning.publish_receipt.v0`. Nothing in it depends on who writes it, or
/// when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishReceipt {
    /// Always [`Self::SCHEMA_VERSION`].
    pub schema_version: String,
    /// The run.
    pub run_id: RunId,
    /// The bundle's id, as announced.
    pub bundle_id: Digest,
    /// The bundle's version, as announced.
    pub bundle_version: String,
    /// Folder of the bundle in the evidence store.
    pub bundle_ref: String,
    /// Digest of `bundle.json`.
    pub bundle_digest: Digest,
    /// `environment/mode/bundle_slot[/tenant_id]`; the record's key.
    pub scope_key: String,
    /// The announcement as the broker acknowledged it.
    pub record: AnnouncedRecord,
    /// Whose word makes the run PUBLISHED.
    pub confirmed: Confirmation,
}

/// A record of the publications topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnnouncedRecord {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Its `ce_id`.
    pub event_id: String,
    /// Digest of its value.
    pub sha256: Digest,
}

/// Whose word makes a run PUBLISHED.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
pub enum Confirmation {
    /// The broker's: the record is on its topic.
    Broker,
    /// The registry's: it holds the bundle.
    Registry {
        /// The event that says so.
        registry_event_id: String,
    },
}

impl PublishReceipt {
    /// The version that this release writes.
    pub const SCHEMA_VERSION: &'static str = "learning.publish_receipt.v0";

    /// The receipt of this announcement.
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
