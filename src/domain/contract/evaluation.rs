//! What a training profile asks to be measured. Ranges stand in the schema; what needs the plan's columns
//! is checked when the plan is made.

use serde::{Deserialize, Serialize};

/// What to measure on the test window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluationSpec {
    /// The `k` of `precision_at_<k>`, `recall_at_<k>` and `card_precision_at_<k>`.
    pub k: Vec<u32>,
    /// False positive rates, the `p` of `recall_at_fpr_<p>`.
    pub fpr: Vec<f64>,
    /// Scores from which a payment counts as flagged, for confusion counts and the `t` of
    /// `precision_at_threshold_<t>`, `recall_at_threshold_<t>` and `f1_at_threshold_<t>`.
    pub thresholds: Vec<f64>,
    /// Bins of equal width for the calibration curve and `expected_calibration_error`.
    pub calibration_bins: u32,
    /// Bins of equal width for the histogram of scores.
    pub histogram_bins: u32,
    /// Points of a curve at the most.
    pub curve_points: u32,
    /// How intervals are found; without it there are none.
    pub bootstrap: Option<BootstrapSpec>,
    /// Columns whose values are measured one by one.
    pub slices: Vec<SliceSpec>,
    /// Fewest rows of each class in the test window.
    pub min_rows_per_class: u32,
}

impl Default for EvaluationSpec {
    fn default() -> Self {
        Self {
            k: vec![100],
            fpr: vec![0.01],
            thresholds: vec![0.5],
            calibration_bins: 10,
            histogram_bins: 40,
            curve_points: 200,
            bootstrap: None,
            slices: Vec::new(),
            min_rows_per_class: 10,
        }
    }
}

/// Percentile intervals from resampled test windows, seeded by the plan's seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BootstrapSpec {
    /// How often the test window is drawn anew.
    pub replicates: u32,
    /// Share of the replicates that an interval holds.
    pub confidence: f64,
    /// Entity column whose members are drawn whole; without it single rows are drawn.
    pub cluster: Option<String>,
    /// Metrics that get an interval; empty is all but those per day.
    pub metrics: Vec<String>,
}

impl Default for BootstrapSpec {
    fn default() -> Self {
        Self { replicates: 1_000, confidence: 0.95, cluster: None, metrics: Vec::new() }
    }
}

/// A column whose values are measured one by one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SliceSpec {
    /// A feature or an entity column.
    pub column: String,
    /// Bounds between slices of a numeric feature, ascending; a slice holds its lower bound. Empty takes
    /// every value by itself.
    #[serde(default)]
    pub cuts: Vec<f64>,
    /// Values at the most, those with the most rows first; the rest is one slice.
    #[serde(default = "SliceSpec::default_max_values")]
    pub max_values: u32,
}

impl SliceSpec {
    fn default_max_values() -> u32 {
        10
    }
}
