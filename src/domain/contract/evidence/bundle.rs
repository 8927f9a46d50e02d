//! `BundleManifest`, the bundle's `bundle.json`: what is in the folder, what made it, what it needs.

use super::resolved_train_plan::{PinnedDocument, PinnedFile, PinnedManifest, Revisions};
use crate::domain::contract::{BundleArtifact, Compatibility, Feature, TargetScope};
use crate::domain::identity::{Digest, RunId, RunKey};
use serde::{Deserialize, Serialize};

/// Names every other file of the folder. The bundle's id is computed over it, so it cannot hold that id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleManifest {
    /// Always [`Self::SCHEMA_VERSION`].
    pub schema_version: String,
    /// The run that built it.
    pub run_id: RunId,
    pub run_key: RunKey,
    /// Where it is meant to be used.
    pub target_scope: TargetScope,
    pub compatibility: Compatibility,
    /// The model's inputs, in this order.
    pub features: Vec<Feature>,
    pub lineage: BundleLineage,
    /// Every other file, but the signature.
    pub files: Vec<BundleArtifact>,
}

/// What a bundle was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleLineage {
    pub manifests: Vec<PinnedManifest>,
    pub data: Vec<PinnedFile>,
    pub training_profile: PinnedDocument,
    pub governance_profile: PinnedDocument,
    /// Digest of the resolved train plan.
    pub run_config_digest: Digest,
    pub revisions: Revisions,
}

impl BundleManifest {
    /// The version that this release writes.
    pub const SCHEMA_VERSION: &'static str = "learning.bundle.v0";
    /// Its name in the folder.
    pub const FILE: &'static str = "bundle.json";
}
