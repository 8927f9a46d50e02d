//! `EvidencePack`: every document of a run with its digest, and the marker that closes the run's evidence.

use crate::domain::contract::{EventRefs, EvidenceRef};
use crate::domain::identity::RunId;
use serde::Serialize;

/// `evidence/evidence_pack.json`.
#[derive(Serialize)]
pub struct EvidencePack<'a> {
    /// Always [`Self::SCHEMA_VERSION`].
    pub schema_version: &'static str,
    pub run_id: &'a RunId,
    /// By role.
    pub documents: &'a EventRefs,
}

impl EvidencePack<'_> {
    /// The version that this release writes.
    pub const SCHEMA_VERSION: &'static str = "learning.evidence_pack.v0";
}

/// `_COMPLETE`, the last document of a run.
#[derive(Serialize)]
pub struct CompleteMarker<'a> {
    pub evidence_pack: &'a EvidenceRef,
}
