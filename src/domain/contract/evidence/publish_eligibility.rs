//! `PublishEligibility`: whether the run's bundle may be published at all.

use crate::domain::contract::EvidenceRef;
use crate::domain::identity::RunId;
use serde::{Deserialize, Serialize};

/// Whether a requester allows publication is not in here: a later request may change that, and evidence
/// does not change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishEligibility {
    /// Always [`Self::SCHEMA_VERSION`].
    pub schema_version: String,
    pub run_id: RunId,
    pub eligibility: Eligibility,
    /// `GATE_FAIL`, `INTENT_NOT_PUBLISHABLE`; empty where the bundle is eligible.
    pub reasons: Vec<String>,
    /// The receipt that it rests on.
    pub gate_receipt: EvidenceRef,
}

impl PublishEligibility {
    /// The version that this release writes.
    pub const SCHEMA_VERSION: &'static str = "learning.publish_eligibility.v0";
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Eligibility {
    Eligible,
    Ineligible,
}
