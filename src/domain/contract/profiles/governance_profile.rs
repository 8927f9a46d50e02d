//! `GovernanceProfile`: what a model must reach to be published.

use crate::domain::identity::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GovernanceProfile {
    pub policy_id: String,
    pub revision: String,
    pub controls: Controls,
    /// By `min_<metric>` or `max_<metric>`.
    pub eval_thresholds: BTreeMap<String, ThresholdSpec>,
    /// For thresholds that do not say themselves what they are compared with.
    #[serde(default)]
    pub on: ThresholdBasis,
    #[serde(default)]
    pub min_positives: u64,
    /// The bundle that the model is compared with, on the same rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub champion: Option<ChampionSpec>,
}

/// A bundle of an earlier run, by location and digest of its `bundle.json`, which pins every other file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleRef {
    #[serde(rename = "ref")]
    pub reference: String,
    pub sha256: Digest,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChampionSpec {
    pub bundle_ref: BundleRef,
    /// Bounds on the candidate's value less the champion's, by `min_<metric>` or `max_<metric>`.
    pub eval_differences: BTreeMap<String, ThresholdSpec>,
    /// For thresholds that do not say themselves what they are compared with.
    #[serde(default = "ChampionSpec::default_on")]
    pub on: ThresholdBasis,
    /// Share of the paired replicates that the interval of a difference holds.
    #[serde(default = "ChampionSpec::default_confidence")]
    pub confidence: f64,
}

impl ChampionSpec {
    /// On one window a difference of two models is mostly chance: its confidence bound says more than its value.
    fn default_on() -> ThresholdBasis {
        ThresholdBasis::ConfidenceBound
    }

    fn default_confidence() -> f64 {
        0.95
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Controls {
    /// Must be true: publication needs a PASS.
    pub require_pass_gate: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ThresholdSpec {
    /// Compared as the profile's `on` says.
    Bound(f64),
    /// Says for itself how it is compared.
    Judged(JudgedBound),
}

impl ThresholdSpec {
    pub fn bound(&self) -> f64 {
        match self {
            Self::Bound(bound) => *bound,
            Self::Judged(judged) => judged.bound,
        }
    }

    /// What the bound is compared with; `otherwise` is the profile's own rule.
    pub fn basis(&self, otherwise: ThresholdBasis) -> ThresholdBasis {
        match self {
            Self::Bound(_) => otherwise,
            Self::Judged(judged) => judged.on,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgedBound {
    pub bound: f64,
    pub on: ThresholdBasis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdBasis {
    #[default]
    Point,
    /// The end of its confidence interval where the metric is worst: the lower one for `min_`, the upper
    /// one for `max_`.
    ConfidenceBound,
}
