//! The documents that a plan is made from, as the worker fetched them.

use crate::domain::contract::{PinnedCommand, TrainBuildRequest};
use crate::domain::identity::Digest;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
pub struct Fetched {
    /// As the request names it.
    pub reference: String,
    pub bytes: Vec<u8>,
    /// Digest of these bytes.
    pub sha256: Digest,
}

/// The documents of an earlier bundle that are needed before its model is.
#[derive(Debug, Clone)]
pub struct FetchedBundle {
    /// Its `bundle.json`.
    pub manifest: Fetched,
    pub eval_report: Fetched,
}

/// Everything that a plan is made from.
#[derive(Debug, Clone)]
pub struct Sources<'a> {
    /// The request that created the run.
    pub request: &'a TrainBuildRequest,
    /// Sorted by reference, without repeats.
    pub manifests: &'a [Fetched],
    pub training_profile: &'a Fetched,
    pub governance_profile: &'a Fetched,
    pub ownership_boundaries_sha256: Digest,
    /// The operator's trainer commands by name.
    pub commands: &'a BTreeMap<String, PinnedCommand>,
    /// The bundle that a regression check measures; none for other intents.
    pub baseline: Option<&'a FetchedBundle>,
    /// None where the governance profile names no champion.
    pub champion: Option<&'a FetchedBundle>,
    /// When the attempt started. Labels as of a later instant cannot be known.
    pub started_at: DateTime<Utc>,
}
