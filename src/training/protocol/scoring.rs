//! The documents of a child that only scores.

use crate::domain::contract::{Feature, Limits, ParityVectors};
use crate::domain::identity::Digest;
use crate::modelling::IdColumn;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// `job.json` of a job that only scores. The model is in the same directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoringJob {
    pub model_sha256: Digest,
    /// The model's inputs, in this order.
    pub features: Vec<Feature>,
    /// The child checks that the model gives these scores before it scores anything else.
    pub parity: ParityVectors,
    /// The Parquet file to score.
    pub file: PathBuf,
    /// The source of row ids.
    pub ids: IdColumn,
    /// Key-value metadata of the file of scores.
    pub about: BTreeMap<String, String>,
    /// Its bounds on rows and categories do not apply.
    pub limits: Limits,
}

/// `scored.json`, which the child writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoringResult {
    pub rows: u64,
    /// The column that gave the ids; none where a row's id is its number, from 0.
    pub id_column: Option<String>,
    /// Per categorical feature the number of rows whose value the model does not know, and takes as missing.
    pub unknown_categories: BTreeMap<String, u64>,
}

impl ScoringResult {
    pub const FILE: &'static str = "scored.json";
}
