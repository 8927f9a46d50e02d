//! `BundlePublication`, which announces a bundle to the registry.

use super::run_lifecycle::EvidenceRef;
use crate::domain::contract::ProfileRef;
use crate::domain::identity::{Digest, RunId};
use serde::{Deserialize, Serialize};

/// What a serving system must offer to run the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compatibility {
    pub feature_set_id: String,
    pub feature_set_version: String,
    /// Version of the order, names and types of the model's inputs.
    pub input_contract_version: String,
    /// Capabilities such as `xgboost-json`.
    pub required_capabilities: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicationProvenance {
    pub mf_code_release_id: String,
    pub config_revision: String,
    pub policy_revision: String,
    pub run_config_digest: Digest,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleArtifact {
    /// Path relative to the folder of the bundle.
    pub path: String,
    pub sha256: Digest,
    pub bytes: u64,
    pub media_type: String,
}

/// Announces a bundle. An announcement may be sent twice: the registry must ignore the second with the same
/// `(bundle_id, bundle_version)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundlePublication {
    pub schema_version: String,
    /// Digest over the canonical list of the files' paths and digests. The signature is not in the list.
    pub bundle_id: Digest,
    pub bundle_version: String,
    pub run_id: RunId,
    pub dataset_manifest_refs: Vec<String>,
    pub eval_report_ref: EvidenceRef,
    pub gate_receipt_ref: EvidenceRef,
    /// The thresholds that the model is used with. `None` in announcements of earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision_report_ref: Option<EvidenceRef>,
    pub compatibility: Compatibility,
    /// The profile that the bundle was judged by. `None` in announcements of earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub governance_profile: Option<ProfileRef>,
    pub provenance: PublicationProvenance,
    /// Scope of the bundle, as `environment/mode/bundle_slot[/tenant_id]`.
    pub scope_key: String,
    /// Folder of the bundle in the evidence store.
    pub bundle_ref: String,
    /// SHA-256 of `bundle.json`.
    pub bundle_digest: Digest,
    pub artifacts: Vec<BundleArtifact>,
}

impl BundlePublication {
    pub const SCHEMA_VERSION: &'static str = "learning.bundle_publication.v0";

    /// Whether two announcements have the same content. The profile and the decision report that an earlier release left
    /// out are not compared.
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        let (mut one, mut another) = (self.clone(), other.clone());
        if one.governance_profile.is_none() || another.governance_profile.is_none() {
            (one.governance_profile, another.governance_profile) = (None, None);
        }
        if one.decision_report_ref.is_none() || another.decision_report_ref.is_none() {
            (one.decision_report_ref, another.decision_report_ref) = (None, None);
        }
        one == another
    }
}
