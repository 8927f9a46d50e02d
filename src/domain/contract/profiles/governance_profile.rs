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
    /// Bounds on metrics, each under the name `min_<metric>` or `max_<metric>`.
    pub eval_thresholds: BTreeMap<String, ThresholdSpec>,
    /// What a threshold without its own `on` is compared with: the metric's value, or one end of its interval.
    #[serde(default)]
    pub on: ThresholdBasis,
    /// Fewest frauds in the test window. `None` asks for [`Self::POSITIVES_FOR_BOUNDS`] where a bound is compared with
    /// an interval's end, else for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_positives: Option<u64>,
    /// Which bundle the model is compared with, on the same rows, and by what bounds. `None` asks for no comparison.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub champion: Option<ChampionSpec>,
    /// Bounds on a metric that every slice of a column must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<SliceCondition>,
    /// Bounds on how many times as great a metric may be in one slice as in another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ratio: Vec<RatioCondition>,
}

/// A bound on a metric in every slice of a column. Exactly one of `min` and `max` is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SliceCondition {
    /// A column by which the training profile slices.
    pub column: String,
    pub metric: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// A slice with fewer rows is unknown.
    #[serde(default = "SliceCondition::default_rows")]
    pub min_rows: u64,
    /// A slice with fewer frauds is unknown.
    #[serde(default = "SliceCondition::default_positives")]
    pub min_positives: u64,
    #[serde(default)]
    pub unknown: UnknownSlices,
}

impl SliceCondition {
    fn default_rows() -> u64 {
        100
    }

    fn default_positives() -> u64 {
        10
    }
}

/// A bound on the greatest value of a metric in any slice of a column, divided by the least.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RatioCondition {
    /// A column by which the training profile slices.
    pub column: String,
    pub metric: String,
    /// At least 1.
    pub max: f64,
    /// As in [`SliceCondition`].
    #[serde(default = "SliceCondition::default_rows")]
    pub min_rows: u64,
    #[serde(default = "SliceCondition::default_positives")]
    pub min_positives: u64,
    #[serde(default)]
    pub unknown: UnknownSlices,
}

/// What becomes of a condition if no slice breaks it, and a slice is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownSlices {
    /// The condition does not hold.
    #[default]
    Fail,
    /// The condition holds.
    Pass,
}

impl GovernanceProfile {
    /// Fewer frauds give intervals so wide that a model rarely passes, and only by luck.
    pub const POSITIVES_FOR_BOUNDS: u64 = 50;

    /// Returns the fewest frauds that the test window must hold.
    pub fn required_positives(&self) -> u64 {
        let on_bound = |spec: &ThresholdSpec, otherwise| spec.basis(otherwise) == ThresholdBasis::ConfidenceBound;
        let of_champion =
            |champion: &ChampionSpec| champion.eval_differences.values().any(|spec| on_bound(spec, champion.on));
        let any = self.eval_thresholds.values().any(|spec| on_bound(spec, self.on))
            || self.champion.as_ref().is_some_and(of_champion);
        self.min_positives.unwrap_or(if any { Self::POSITIVES_FOR_BOUNDS } else { 0 })
    }
}

/// The governance profile of a run: the request's reference to it, and the digest of its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileRef {
    #[serde(rename = "ref")]
    pub reference: String,
    pub sha256: Digest,
}

/// A bundle of an earlier run: location and digest of its `bundle.json`. That file holds the digests of all other
/// files.
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
    /// Bounds on the candidate's value minus the champion's, each under the name `min_<metric>` or `max_<metric>`.
    pub eval_differences: BTreeMap<String, ThresholdSpec>,
    /// What a bound without its own `on` is compared with: the difference, or one end of its interval.
    #[serde(default = "ChampionSpec::default_on")]
    pub on: ThresholdBasis,
    /// Share of windows in which the interval of a difference shall hold the true difference, for example 0.95.
    #[serde(default = "ChampionSpec::default_confidence")]
    pub confidence: f64,
}

impl ChampionSpec {
    /// The default is the interval's end, because the difference of two models on one window is mostly chance.
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
    /// Must be true: only a model with the verdict PASS is published.
    pub require_pass_gate: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ThresholdSpec {
    /// A bound that is compared with what the profile's `on` names.
    Bound(f64),
    /// A bound with its own `on`.
    Judged(JudgedBound),
}

impl ThresholdSpec {
    pub fn bound(&self) -> f64 {
        match self {
            Self::Bound(bound) => *bound,
            Self::Judged(judged) => judged.bound,
        }
    }

    /// Returns what the bound is compared with. `otherwise` is the profile's `on`, for a bound without its own.
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
    /// The worse end of the metric's confidence interval: the lower end for `min_`, the upper end for `max_`.
    ConfidenceBound,
}
