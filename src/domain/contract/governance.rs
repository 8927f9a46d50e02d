//! Governance profiles: what a model must reach. YAML or JSON, unknown keys refused.

use crate::domain::identity::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a model must reach to be published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GovernanceProfile {
    /// Name of the policy.
    pub policy_id: String,
    /// Its revision.
    pub revision: String,
    /// What must hold besides the thresholds.
    pub controls: Controls,
    /// `min_<metric>` or `max_<metric>` with what is wanted.
    pub eval_thresholds: BTreeMap<String, ThresholdSpec>,
    /// What a threshold is compared with that does not say so itself.
    #[serde(default)]
    pub on: ThresholdBasis,
    /// Fewest frauds in the test window.
    #[serde(default)]
    pub min_positives: u64,
    /// The bundle that the model is compared with, on the same rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub champion: Option<ChampionSpec>,
}

/// A bundle of an earlier run, by place and content of its `bundle.json`, which pins every other file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleRef {
    /// Where its `bundle.json` is.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Digest of the bytes there.
    pub sha256: Digest,
}

/// The bundle that the model is compared with, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChampionSpec {
    /// The bundle.
    pub bundle_ref: BundleRef,
    /// `min_<metric>` or `max_<metric>` with what the candidate's value less the champion's must reach.
    pub eval_differences: BTreeMap<String, ThresholdSpec>,
    /// What a difference is compared with that does not say so itself.
    #[serde(default = "ChampionSpec::default_on")]
    pub on: ThresholdBasis,
    /// Share of the paired replicates that the interval of a difference holds.
    #[serde(default = "ChampionSpec::default_confidence")]
    pub confidence: f64,
}

impl ChampionSpec {
    /// A difference of two models on one window is mostly chance: its bound says more than its value.
    fn default_on() -> ThresholdBasis {
        ThresholdBasis::ConfidenceBound
    }

    fn default_confidence() -> f64 {
        0.95
    }
}

/// What must hold besides the thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Controls {
    /// Publication needs a PASS; any other value is refused.
    pub require_pass_gate: bool,
}

/// What a metric must reach.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ThresholdSpec {
    /// A bound, compared as the profile's `on` says.
    Bound(f64),
    /// A bound that says for itself how it is compared.
    Judged(JudgedBound),
}

impl ThresholdSpec {
    /// The bound, in the metric's unit.
    pub fn bound(&self) -> f64 {
        match self {
            Self::Bound(bound) => *bound,
            Self::Judged(judged) => judged.bound,
        }
    }

    /// What the bound is compared with, where the profile says `otherwise` for all.
    pub fn basis(&self, otherwise: ThresholdBasis) -> ThresholdBasis {
        match self {
            Self::Bound(_) => otherwise,
            Self::Judged(judged) => judged.on,
        }
    }
}

/// A bound that says for itself how it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgedBound {
    /// In the metric's unit.
    pub bound: f64,
    /// What it is compared with.
    pub on: ThresholdBasis,
}

/// Which value a threshold is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdBasis {
    /// The measured value.
    #[default]
    Point,
    /// The end of its confidence interval where the metric is worst: the lower one for `min_`, the upper
    /// one for `max_`.
    ConfidenceBound,
}
