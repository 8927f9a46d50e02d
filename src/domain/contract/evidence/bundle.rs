//! `BundleManifest`, the bundle's `bundle.json`: what is in the folder, what made it, what it needs; and `ParityVectors`,
//! which lie in the folder.

use super::resolved_train_plan::{PinnedDocument, PinnedFile, PinnedManifest};
use crate::domain::contract::{BundleArtifact, Compatibility, Feature, Revisions, TargetScope};
use crate::domain::identity::{Digest, RunId, RunKey};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Names every other file of the folder. The bundle's id is computed over it, so it cannot hold that id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleManifest {
    pub schema_version: String,
    pub run_id: RunId,
    pub run_key: RunKey,
    pub target_scope: TargetScope,
    pub compatibility: Compatibility,
    /// The model's inputs, in this order.
    pub features: Vec<Feature>,
    pub lineage: BundleLineage,
    /// Every other file, but the signature.
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

/// Rows with the exact scores that the model gives them, so that whoever serves the model can prove that serving equals
/// training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParityVectors {
    pub schema_version: String,
    pub run_id: RunId,
    pub model_sha256: Digest,
    pub origin: ParityOrigin,
    /// Names of the features, in the order of the values.
    pub features: Vec<String>,
    /// The values that the model knows of its categorical features; it reads every other value as missing.
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
    /// Model Factory made the rows from the model, and scored them with it.
    Model,
    /// Rows of the test window with the scores that a registered command returned: Model Factory does not run
    /// its model.
    Trainer,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParityVector {
    pub case: ParityCase,
    /// One value per feature; null is missing.
    pub values: Vec<Option<ParityValue>>,
    /// Probability of fraud, a 32-bit float written so that every reader gets its exact value.
    pub score: f32,
    /// The same float as 8 hex digits.
    pub score_bits: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParityCase {
    /// Every feature at the middle one of its thresholds.
    Middle,
    AllMissing,
    /// Every number as small as a 32-bit float can be.
    Lowest,
    /// Every number as large.
    Highest,
    Zero,
    OneMissing,
    /// One feature exactly at a threshold of a split.
    AtThreshold,
    /// One feature at the number right below a threshold.
    BelowThreshold,
    /// One feature with a category that the model knows.
    KnownCategory,
    /// One feature with a category that the model does not know.
    UnknownCategory,
    TestRow,
}

/// A value as a caller of the model has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ParityValue {
    Integer(i64),
    /// Exact as a 32-bit float.
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
    /// A value's code is its index here.
    pub values: Vec<CategoryValue>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CategoryValue {
    /// An integer; a boolean is 0 or 1.
    Number(i64),
    Text(String),
}

impl fmt::Display for CategoryValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}
