//! `PublishEligibility`: whether the run's bundle may ever be published. `PublishReceipt`: where the bundle was
//! announced, and who confirmed it.

use crate::domain::contract::{BundlePublication, EvidenceRef, ProfileRef};
use crate::domain::identity::{Digest, RunId};
use serde::{Deserialize, Serialize};

/// Does not say whether a requester allows publication. A later request may still allow it, and stored evidence never
/// changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishEligibility {
    pub schema_version: String,
    pub run_id: RunId,
    pub eligibility: Eligibility,
    /// Why the bundle is not eligible: `GATE_FAIL`, `INTENT_NOT_PUBLISHABLE`. Empty if the bundle is eligible.
    pub reasons: Vec<String>,
    pub gate_receipt: EvidenceRef,
}

impl PublishEligibility {
    pub const SCHEMA_VERSION: &'static str = "learning.publish_eligibility.v0";
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Eligibility {
    Eligible,
    Ineligible,
}

/// `publish/publish_receipt.json`. Its bytes do not depend on which worker writes it, or when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishReceipt {
    pub schema_version: String,
    pub run_id: RunId,
    pub bundle_id: Digest,
    pub bundle_version: String,
    /// Folder of the bundle in the evidence store.
    pub bundle_ref: String,
    pub bundle_digest: Digest,
    /// Scope of the bundle, as `environment/mode/bundle_slot[/tenant_id]`. Also the Kafka key of the publication.
    pub scope_key: String,
    /// The profile that the bundle was judged by. `None` if an earlier release announced the bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub governance_profile: Option<ProfileRef>,
    /// The record of the publication that the broker acknowledged.
    pub record: AnnouncedRecord,
    pub confirmed: Confirmation,
}

impl PublishReceipt {
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
            governance_profile: publication.governance_profile,
            record,
            confirmed,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnnouncedRecord {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// Header `ce_id` of the publication.
    pub event_id: String,
    /// SHA-256 of the record's value.
    pub sha256: Digest,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
pub enum Confirmation {
    /// The broker acknowledged the record. The configuration did not require the registry's reply.
    Broker,
    /// The registry holds the bundle. The registry's event with this id says so.
    Registry { registry_event_id: String },
}
