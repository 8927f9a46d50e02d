//! `ParityVectors`: rows with the exact scores that the model gives them, so that whoever serves the model can
//! prove that serving equals training.

use crate::domain::identity::{Digest, RunId};
use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParityVectors {
    /// Always [`Self::SCHEMA_VERSION`].
    pub schema_version: String,
    pub run_id: RunId,
    /// The model that gave the scores.
    pub model_sha256: Digest,
    pub origin: ParityOrigin,
    /// Names of the features, in the order of the values.
    pub features: Vec<String>,
    /// The values that the model knows of its categorical features; it reads every other value as missing.
    pub categories: Vec<FeatureCategories>,
    pub vectors: Vec<ParityVector>,
}

impl ParityVectors {
    /// The version that this release writes.
    pub const SCHEMA_VERSION: &'static str = "learning.parity_vectors.v0";
    /// Its name in evidence and bundle.
    pub const FILE: &'static str = "parity_vectors.json";
}

/// Where rows and scores come from.
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

/// What a row tries.
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
    /// Every number zero.
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
    /// A row of the test window.
    TestRow,
}

/// A value as a caller of the model has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ParityValue {
    /// An integer category.
    Integer(i64),
    /// Exact as a 32-bit float.
    Number(f32),
    /// A category.
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

/// A categorical feature with its codes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureCategories {
    pub feature: String,
    /// A value's code is its index here.
    pub values: Vec<CategoryValue>,
}

/// A value of a categorical feature.
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
