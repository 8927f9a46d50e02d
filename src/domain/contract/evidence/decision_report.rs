//! `DecisionReport`: how the model's scores become decisions. Thresholds are chosen on the validation window and measured
//! on the test window.

use super::eval_report::{MetricValue, Metrics};
use crate::domain::contract::{AmountColumn, CostSpec, PointTarget};
use crate::domain::identity::{Digest, RunId};
use serde::{Deserialize, Serialize};

/// The report holds no clock value and no path, so that the same rows and the same plan give the same bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionReport {
    pub schema_version: String,
    pub run_id: RunId,
    /// SHA-256 of the model's file, whose scores the thresholds are for.
    pub model_sha256: Digest,
    /// Column and unit of all money in this report. `None` if the manifest names no such column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<AmountColumn>,
    /// The costs by which `cost_per_day` is computed. `None` if the training profile gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<CostSpec>,
    pub windows: DecisionWindows,
    /// In the order of the training profile.
    pub operating_points: Vec<OperatingPoint>,
    /// What changes against the model in use. `None` without a champion, and if no operating point is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub champion: Option<AgainstChampion>,
}

/// The rows that thresholds are chosen and measured on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionWindows {
    /// Null if no threshold is chosen.
    pub validation: Option<DecisionWindow>,
    pub test: DecisionWindow,
}

/// The rows of a window without those of entities that were already known as fraud, if the split leaves these out of the
/// test window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionWindow {
    pub rows: u64,
    pub positives: u64,
    /// Length of the window in days of 24 hours. Null if rows are split at random.
    pub days: Option<f64>,
    /// Summed amount of all rows. `None` if there is no amount column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<f64>,
    /// Summed amount of the frauds. `None` if there is no amount column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraud_amount: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatingPoint {
    pub name: String,
    pub target: PointTarget,
    /// A payment is flagged if its score is at least this: a score of the validation window. Null if no score of that
    /// window meets the target.
    pub threshold: Option<f64>,
    pub no_threshold_because: Option<String>,
    /// What the threshold promised. Null if there is no threshold.
    pub validation: Option<PointInWindow>,
    /// What the threshold did. Null if there is no threshold.
    pub test: Option<PointInWindow>,
}

/// An operating point, measured on one window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointInWindow {
    /// Number of flagged payments.
    pub alerts: u64,
    /// Number of flagged frauds.
    pub hits: u64,
    /// Number of rows whose score is the threshold itself. They are flagged together.
    pub rows_at_threshold: u64,
    /// Number of rows with the highest score below the threshold. The next lower threshold flags them together.
    pub rows_at_next_score: u64,
    /// Metrics by name. Only those of the test window have intervals.
    pub metrics: Metrics,
}

/// The decisions of the model and of the champion on the same payments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgainstChampion {
    /// SHA-256 of the champion's model.
    pub model_sha256: Digest,
    /// One entry for each operating point that has a threshold.
    pub swap_sets: Vec<SwapSet>,
    /// Null if it cannot be fitted.
    pub score_map: Option<ScoreMap>,
    pub no_score_map_because: Option<String>,
}

/// Who flags which payments of the test window, if both models flag as many.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwapSet {
    /// The operating point.
    pub name: String,
    /// The champion's lowest score that flags no more payments of the test window than the operating point. Null if even
    /// its highest score flags more.
    pub champion_threshold: Option<f64>,
    /// Payments that both flag.
    pub both: SwapPart,
    /// Payments that only the new model flags.
    pub swapped_in: SwapPart,
    /// Payments that only the champion flags.
    pub swapped_out: SwapPart,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwapPart {
    pub rows: u64,
    pub positives: u64,
    /// Summed amount. `None` if there is no amount column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<f64>,
    /// Summed amount of the frauds. `None` if there is no amount column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraud_amount: Option<f64>,
}

/// A monotone map from the model's scores to the champion's scale, linear between its knots. A rule with a threshold on the
/// champion's scores flags about as many payments by the mapped scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreMap {
    /// Fitted on the validation window, ascending. A score beyond the knots is mapped as the nearest knot.
    pub knots: Vec<MapKnot>,
    /// The errors on the test window at the operating points, each at the champion's threshold of as many alerts.
    pub at_points: Vec<MappedVolume>,
    /// The greatest error on the test window at any knot, from 100 alerts of the champion on. `None` if there are fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst: Option<MappedVolume>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapKnot {
    pub score: f64,
    pub champion_score: f64,
}

/// How many payments of the test window a threshold on the champion's scale flags.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MappedVolume {
    /// The operating point. `None` at a knot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The threshold.
    pub champion_score: f64,
    pub champion_alerts: u64,
    /// Number of payments whose mapped score is at least the threshold.
    pub mapped_alerts: u64,
    /// `(mapped_alerts - champion_alerts) / champion_alerts`. Null without alerts of the champion.
    pub relative_error: Option<f64>,
}

impl DecisionReport {
    pub const SCHEMA_VERSION: &'static str = "learning.decision_report.v0";
    /// Name of the file in the bundle and in the evidence store.
    pub const FILE: &'static str = "decision_report.json";

    /// Returns every number of the test window that the gate may ask for, by the name that a threshold uses after
    /// `min_` or `max_`: `operating_points.<name>.<metric>`. A point without a threshold gives no metric.
    pub fn metrics(&self) -> impl Iterator<Item = (String, &MetricValue)> {
        self.operating_points.iter().flat_map(|point| {
            let metrics = point.test.iter().flat_map(|test| &test.metrics);
            metrics.map(|(metric, value)| (format!("operating_points.{}.{metric}", point.name), value))
        })
    }

    /// Says why a number that the gate asks for is not there. `None` if the report has no such operating point.
    pub fn missing_because(&self, name: &str) -> Option<String> {
        let (point, _) = name.strip_prefix("operating_points.")?.split_once('.')?;
        let point = self.operating_points.iter().find(|found| found.name == point)?;
        let why = point.no_threshold_because.as_deref()?;
        Some(format!("the operating point {} has no threshold: {why}", point.name))
    }
}
