//! What the child that only scores is told, and what it says at its end.

use crate::domain::contract::{Feature, Limits};
use crate::domain::identity::Digest;
use crate::modelling::{IdColumn, ParityVectors};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// `job.json` of a job that only scores; the model lies beside it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoringJob {
    /// Digest of the model.
    pub model_sha256: Digest,
    /// The model's inputs, in its order.
    pub features: Vec<Feature>,
    /// Rows whose scores the model must give before it gives any other.
    pub parity: ParityVectors,
    /// The Parquet file.
    pub file: PathBuf,
    /// Where the ids of its rows come from.
    pub ids: IdColumn,
    /// What the file of scores says of itself.
    pub about: BTreeMap<String, String>,
    /// Of these, rows and categories do not matter here.
    pub limits: Limits,
}

/// `scored.json`: what there was to score.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scored {
    /// Rows.
    pub rows: u64,
    /// The column that gave the ids; none where rows go by their numbers, from 0.
    pub id_column: Option<String>,
    /// Per categorical feature the rows with a value that the model does not know; it counts as missing.
    pub unknown_categories: BTreeMap<String, u64>,
}

impl Scored {
    /// Its name in the job directory.
    pub const FILE: &'static str = "scored.json";
}
