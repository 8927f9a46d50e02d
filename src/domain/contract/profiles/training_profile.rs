//! `TrainingProfile`: how to train and measure. The schema gives the ranges; what needs the columns of a plan is
//! checked when the plan is made.

use super::governance_profile::BundleRef;
use crate::domain::contract::{ExpectedLabels, FeatureSet};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingProfile {
    pub policy_id: String,
    pub revision: String,
    pub feature_definition_set: FeatureSet,
    pub expected_manifest_schema_version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_label_basis: Option<ExpectedLabels>,
    /// The model's inputs, in this order.
    pub features: Vec<Feature>,
    pub algorithm: Algorithm,
    pub split: SplitSpec,
    pub seed_policy: SeedPolicy,
    #[serde(default)]
    pub leakage: LeakageSpec,
    #[serde(default)]
    pub evaluation: EvaluationSpec,
    #[serde(default)]
    pub limits: Limits,
    /// The bundle that a `regression_check` evaluates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline_bundle_ref: Option<BundleRef>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: FeatureKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monotone: Option<Monotone>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureKind {
    /// A number; null is missing.
    Numeric,
    Categorical,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Monotone {
    /// The score never falls as the feature rises.
    Increasing,
    /// The score never rises as the feature rises.
    Decreasing,
}

/// What to fit. A profile may leave parameters out; the plan writes every one out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Algorithm {
    /// `hessboost` (built in) or `process:<name>`.
    pub id: String,
    /// By name; the algorithm checks them.
    #[serde(default)]
    pub parameters: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "strategy", rename_all = "snake_case", deny_unknown_fields)]
pub enum SplitSpec {
    /// Windows of event time, all given in the same way.
    TimeBased {
        train: WindowSpec,
        /// Rows for early stopping.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        validation: Option<WindowSpec>,
        test: WindowSpec,
        /// Least days between the last row that is learned from and the first one measured on:
        /// labels need this long to become known.
        delay_days: u32,
        /// Where windows given in days end; [`Anchor::LabelMaturity`] if it is left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        anchor: Option<Anchor>,
        /// Entity column whose members, seen as fraud before the test window, leave the test window.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exclude_known_entity: Option<String>,
    },
    /// For data without time: a seeded draw of each class.
    StratifiedRandom {
        train: ShareSpec,
        /// Rows for early stopping.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        validation: Option<ShareSpec>,
        test: ShareSpec,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum WindowSpec {
    Dates(TimeWindow),
    /// Train, validation, delay and test follow each other and end at the anchor.
    Days(DaysSpec),
    /// Of the rows in the order of time.
    Share(ShareSpec),
}

/// A half-open window of event time: `start` is in, `end` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeWindow {
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
}

impl TimeWindow {
    /// Whether an instant, in microseconds since 1970, is in the window.
    pub fn contains(&self, at: i64) -> bool {
        (self.start.timestamp_micros()..self.end.timestamp_micros()).contains(&at)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DaysSpec {
    /// Days of 24 hours.
    pub days: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareSpec {
    /// Above 0, below 1.
    pub fraction: f64,
}

/// Where windows given in days end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Anchor {
    /// When the labels of the manifest are mature: its label as-of less its maturity.
    #[default]
    LabelMaturity,
    /// Right after the last event in the data.
    LastEvent,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedPolicy {
    /// `fixed` (the base seed itself) or `per_run` (derived from base seed and run key).
    pub recipe: String,
    pub base_seed: u64,
}

/// What counts as leakage beyond the rules that always hold.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeakageSpec {
    /// Entity columns that may not occur on both sides of the split.
    #[serde(default)]
    pub disjoint_entities: Vec<String>,
    /// Lets rows of equal content stand in two windows: some payments repeat to the cent.
    #[serde(default)]
    pub allow_repeated_content: bool,
    /// Most ROC AUC, in either direction, that one feature may reach by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_single_feature_auc: Option<f64>,
    /// Fits on labels in random order; nothing can be learned from them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shuffled_label_canary: Option<CanarySpec>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CanarySpec {
    /// Number of fits, each with an order of its own.
    pub fits: u32,
    pub rounds: u32,
    /// Most that their mean ROC AUC on the test window may lie above one half.
    pub max_above_chance: f64,
}

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
    pub histogram_bins: u32,
    pub curve_points: u32,
    /// Without it metrics have no intervals.
    pub bootstrap: Option<BootstrapSpec>,
    pub slices: Vec<SliceSpec>,
    /// Of the test window.
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
    /// Number of times that the test window is drawn anew.
    pub replicates: u32,
    /// Share of the replicates that an interval holds.
    pub confidence: f64,
    /// Entity column whose members are drawn whole; single rows are drawn without it.
    pub cluster: Option<String>,
    /// Metrics that get an interval; empty means all but those per day.
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
    pub column: String,
    /// Bounds between slices of a numeric feature, ascending; a slice holds its lower bound. Empty makes a slice of
    /// every value.
    #[serde(default)]
    pub cuts: Vec<f64>,
    /// Keeps the values with the most rows; the rest is one slice.
    #[serde(default = "SliceSpec::default_max_values")]
    pub max_values: u32,
}

impl SliceSpec {
    fn default_max_values() -> u32 {
        10
    }
}

/// Bounds on the trainer and its data; the operator's own bounds cap them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub wall_seconds: u32,
    pub memory_mib: u32,
    /// Over all processes of the trainer.
    pub cpu_seconds: u32,
    /// What a trainer command may write: the largest file, and all files together.
    pub file_mib: u32,
    /// Of a trainer command at a time.
    pub processes: u32,
    /// Over all files.
    pub max_rows: u64,
    /// Of one categorical feature in the train window.
    pub max_categories: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wall_seconds: 3_600,
            memory_mib: 8_192,
            // An hour on sixteen cores.
            cpu_seconds: 57_600,
            file_mib: 4_096,
            processes: 64,
            max_rows: 50_000_000,
            max_categories: 1_000,
        }
    }
}
