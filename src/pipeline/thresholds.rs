//! Thresholds of a governance profile, and their verdicts.

use super::metrics::Metrics;
use crate::contract::GovernanceProfile;
use serde::{Deserialize, Serialize};

/// Which side of the bound is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The metric must be at least the bound.
    Min,
    /// The metric must be at most the bound.
    Max,
}

/// A bound on a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    /// Name as in the profile, for example `min_auc_roc`.
    pub name: String,
    /// The metric.
    pub metric: String,
    /// Which side is good.
    pub direction: Direction,
    /// The bound, in the metric's unit.
    pub bound: f64,
}

/// A threshold with what was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// Name as in the profile.
    pub threshold: String,
    /// The metric.
    pub metric: String,
    /// Which side is good.
    pub direction: Direction,
    /// The bound.
    pub bound: f64,
    /// The measured value; null is undefined and never holds.
    pub value: Option<f64>,
    /// Whether it holds.
    pub holds: bool,
    /// What was found, for people.
    pub reason: String,
}

impl Threshold {
    /// The thresholds of a profile, in its order, or which one is not readable.
    pub fn all_of(profile: &GovernanceProfile) -> Result<Vec<Self>, String> {
        let mut thresholds = Vec::with_capacity(profile.eval_thresholds.len());
        for (name, &bound) in &profile.eval_thresholds {
            let (direction, metric) = match (name.strip_prefix("min_"), name.strip_prefix("max_")) {
                (Some(metric), None) => (Direction::Min, metric),
                (None, Some(metric)) => (Direction::Max, metric),
                (None, None) | (Some(_), Some(_)) => {
                    return Err(format!("threshold {name:?} must be min_<metric> or max_<metric>"));
                }
            };
            if !bound.is_finite() {
                return Err(format!("threshold {name:?} must be a number"));
            }
            thresholds.push(Self { name: name.clone(), metric: metric.to_owned(), direction, bound });
        }
        if thresholds.is_empty() {
            return Err("eval_thresholds is empty: a gate that checks nothing cannot pass".to_owned());
        }
        Ok(thresholds)
    }

    /// Compares with what was measured. A metric that is missing, null or not a number never holds.
    pub fn judge(&self, metrics: &Metrics) -> Verdict {
        let metric = metrics.get(&self.metric);
        let value = metric.and_then(|metric| metric.value).filter(|value| value.is_finite());
        let (holds, reason) = match (value, metric) {
            (Some(value), _) => {
                let (holds, word) = match self.direction {
                    Direction::Min => (value >= self.bound, "at least"),
                    Direction::Max => (value <= self.bound, "at most"),
                };
                (holds, format!("{} is {value}, required is {word} {}", self.metric, self.bound))
            }
            (None, Some(metric)) => {
                let why = metric.undefined_because.as_deref().unwrap_or("it is not a number");
                (false, format!("{} is undefined: {why}", self.metric))
            }
            (None, None) => (false, format!("{} was not measured; the training profile must ask for it", self.metric)),
        };
        Verdict {
            threshold: self.name.clone(),
            metric: self.metric.clone(),
            direction: self.direction,
            bound: self.bound,
            value,
            holds,
            reason,
        }
    }
}
