//! `BundleManifest`: the bundle's `bundle.json`. It names the bundle's files, what they were made of, and what they
//! need. Also `ParityVectors`, a file of the bundle.

use super::resolved_train_plan::{PinnedDocument, PinnedFile, PinnedManifest};
use crate::domain::contract::{BundleArtifact, CategoryValue, Compatibility, Feature, Revisions, TargetScope};
use crate::domain::identity::{Digest, RunId, RunKey};
use serde::{Deserialize, Serialize};

/// Names the files of the bundle with their digests. Does not hold the bundle's id, because the id is computed from
/// this file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleManifest {
    pub schema_version: String,
    pub run_id: RunId,
    pub run_key: RunKey,
    pub target_scope: TargetScope,
    pub compatibility: Compatibility,
    /// The model's inputs, in the order in which it takes them.
    pub features: Vec<Feature>,
    pub lineage: BundleLineage,
    /// Every file of the bundle but this one and the signature.
    pub files: Vec<BundleArtifact>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleLineage {
    pub manifests: Vec<PinnedManifest>,
    pub data: Vec<PinnedFile>,
    pub training_profile: PinnedDocument,
    pub governance_profile: PinnedDocument,
    pub run_config_digest: Digest,
    pub revisions: Revisions,
}

impl BundleManifest {
    pub const SCHEMA_VERSION: &'static str = "learning.bundle.v0";
    pub const FILE: &'static str = "bundle.json";
}

/// Rows with the exact scores that the model gives them. A serving system that computes other scores does not serve the
/// model that was trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParityVectors {
    pub schema_version: String,
    pub run_id: RunId,
    pub model_sha256: Digest,
    pub origin: ParityOrigin,
    /// Names of the features, in the order of each vector's values.
    pub features: Vec<String>,
    /// For each categorical feature, the values that the model knows. The model treats other values as missing.
    pub categories: Vec<FeatureCategories>,
    pub vectors: Vec<ParityVector>,
}

impl ParityVectors {
    pub const SCHEMA_VERSION: &'static str = "learning.parity_vectors.v0";
    pub const FILE: &'static str = "parity_vectors.json";
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParityOrigin {
    /// Model Factory derived the rows from the model and scored them with the model.
    Model,
    /// The rows are from the test window. A registered command returned their scores, because Model Factory cannot run
    /// the command's model.
    Trainer,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParityVector {
    pub case: ParityCase,
    /// One value for each feature. Null means missing.
    pub values: Vec<Option<ParityValue>>,
    /// Probability of fraud, as a 32-bit float. Written with enough digits that every reader gets the exact value.
    pub score: f32,
    /// The bits of `score`, as 8 hex digits.
    pub score_bits: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParityCase {
    /// Every number is the median of its split thresholds, or 0 without splits. Every category is the middle known
    /// value.
    Middle,
    AllMissing,
    /// Every number is the least finite 32-bit float. Every category is the first known value.
    Lowest,
    /// Every number is the greatest finite 32-bit float. Every category is the last known value.
    Highest,
    Zero,
    OneMissing,
    /// One feature is exactly at a split threshold.
    AtThreshold,
    /// One feature has the greatest 32-bit float below a split threshold.
    BelowThreshold,
    /// One feature has a category that the model knows.
    KnownCategory,
    /// One feature has a category that the model does not know.
    UnknownCategory,
    TestRow,
}

/// The value of a feature as a caller passes it to the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ParityValue {
    Integer(i64),
    /// A number that a 32-bit float holds exactly.
    Number(f32),
    Text(String),
}

impl From<&CategoryValue> for ParityValue {
    fn from(category: &CategoryValue) -> Self {
        match category {
            CategoryValue::Number(number) => Self::Integer(*number),
            CategoryValue::Text(text) => Self::Text(text.clone()),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureCategories {
    pub feature: String,
    /// The code of a value is its index in this list.
    pub values: Vec<CategoryValue>,
}
