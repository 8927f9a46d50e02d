//! `BundlePublication`: the announcement of a bundle to the registry.

use super::EvidenceRef;
use crate::domain::identity::{Digest, RunId};
use serde::{Deserialize, Serialize};

/// What a serving system must offer to run the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compatibility {
    /// The feature set that the model reads.
    pub feature_set_id: String,
    /// Its version.
    pub feature_set_version: String,
    /// The order, names and types of inputs.
    pub input_contract_version: String,
    /// For example `xgboost-json`.
    pub required_capabilities: Vec<String>,
}

/// The pinned revisions behind a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicationProvenance {
    /// Pinned code.
    pub mf_code_release_id: String,
    /// Pinned configuration.
    pub config_revision: String,
    /// Pinned policy.
    pub policy_revision: String,
    /// Digest of the resolved train plan.
    pub run_config_digest: Digest,
}

/// A file of the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleArtifact {
    /// Relative to the bundle.
    pub path: String,
    /// Digest of its bytes.
    pub sha256: Digest,
    /// Its size.
    pub bytes: u64,
    /// Its media type.
    pub media_type: String,
}

/// The announcement. Idempotent for the registry by `(bundle_id, bundle_version)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundlePublication {
    /// Always [`Self::SCHEMA_VERSION`].
    pub schema_version: String,
    /// Digest over the canonical list of (path, digest).
    pub bundle_id: Digest,
    /// `v0-` and 12 hex digits.
    pub bundle_version: String,
    /// The run that built it.
    pub run_id: RunId,
    /// What it was built from.
    pub dataset_manifest_refs: Vec<String>,
    /// How it was measured.
    pub eval_report_ref: EvidenceRef,
    /// Why it may be published.
    pub gate_receipt_ref: EvidenceRef,
    /// What serving must offer.
    pub compatibility: Compatibility,
    /// Pinned revisions.
    pub provenance: PublicationProvenance,
    /// `environment/mode/bundle_slot[/tenant_id]`.
    pub scope_key: String,
    /// Folder of the bundle in the evidence store.
    pub bundle_ref: String,
    /// Digest of `bundle.json`.
    pub bundle_digest: Digest,
    /// Every file of the bundle.
    pub artifacts: Vec<BundleArtifact>,
}

impl BundlePublication {
    /// The version that this release writes.
    pub const SCHEMA_VERSION: &'static str = "learning.bundle_publication.v0";
}
