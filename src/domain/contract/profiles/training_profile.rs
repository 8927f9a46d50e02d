//! `TrainingProfile`: how to train and measure. The schema bounds each value. Rules that need the columns of the data
//! are checked when the plan is made.

use super::data_expectation::DataExpectation;
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
    /// The model's inputs, in the order in which it takes them.
    pub features: Vec<Feature>,
    pub algorithm: Algorithm,
    pub split: SplitSpec,
    pub seed_policy: SeedPolicy,
    #[serde(default)]
    pub leakage: LeakageSpec,
    /// What must hold of the rows before anything is fitted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data_expectations: Vec<DataExpectation>,
    #[serde(default)]
    pub evaluation: EvaluationSpec,
    #[serde(default)]
    pub limits: Limits,
    /// The bundle that a `regression_check` evaluates; with `None` such a run fails. Unused for other intents.
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
    /// A number. Null means missing.
    Numeric,
    Categorical,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Monotone {
    /// The score never falls while the feature rises.
    Increasing,
    /// The score never rises while the feature rises.
    Decreasing,
}

/// The algorithm to fit. A profile may leave parameters out. The plan holds all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Algorithm {
    /// `hessboost` (built in) or `process:<name>` (a registered command).
    pub id: String,
    /// Parameters by name. The plan is refused if the built-in algorithm does not know one or its value is out of
    /// range.
    #[serde(default)]
    pub parameters: BTreeMap<String, serde_json::Value>,
    /// Sets of parameters to choose from. Not beside `search`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<CandidateSpec>,
    /// Draws the sets of parameters to choose from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<SearchSpec>,
    /// The metric on the validation window that chooses among `candidates`, or among those drawn. `None` asks for
    /// `average_precision`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choose_by: Option<String>,
}

/// A set of parameters under a name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CandidateSpec {
    pub name: String,
    /// Parameters in the place of those of the algorithm.
    #[serde(default)]
    pub parameters: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchSpec {
    /// What to draw each parameter from. Other parameters stay as the algorithm has them.
    pub space: BTreeMap<String, DrawnFrom>,
    pub trials: u32,
    pub seed: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum DrawnFrom {
    /// Any of these values, all equally likely.
    Values(Vec<serde_json::Value>),
    Range(DrawnRange),
}

/// Numbers from `low` to `high`, both included. Whole numbers if both are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrawnRange {
    pub low: serde_json::Number,
    pub high: serde_json::Number,
    #[serde(default)]
    pub scale: DrawnScale,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrawnScale {
    #[default]
    Linear,
    /// Equally likely in each factor of ten.
    Log,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "strategy", rename_all = "snake_case", deny_unknown_fields)]
pub enum SplitSpec {
    /// Windows of event time. Either all are given by dates, or all in days, or all as shares.
    TimeBased {
        train: WindowSpec,
        /// Rows for early stopping or tuning. `None` sets no rows aside for this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        validation: Option<WindowSpec>,
        test: WindowSpec,
        /// Least number of days between the end of the train (or validation) window and the start of the test window,
        /// because labels become known late.
        delay_days: u32,
        /// Time at which windows given in days end. `None` means [`Anchor::LabelMaturity`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        anchor: Option<Anchor>,
        /// Entity column, such as the card. An entity leaves the test window from the moment when a fraud of it is
        /// known. `None` leaves no entity out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exclude_known_entity: Option<String>,
    },
    /// Rows are drawn at random from each class, with a seed. For data without event time.
    StratifiedRandom {
        train: ShareSpec,
        /// Rows for early stopping or tuning. `None` sets no rows aside for this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        validation: Option<ShareSpec>,
        test: ShareSpec,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum WindowSpec {
    Dates(TimeWindow),
    /// Windows of given lengths. Train, validation, delay and test follow each other. The test window ends at the
    /// anchor.
    Days(DaysSpec),
    /// A share of the rows, in order of event time.
    Share(ShareSpec),
}

/// A half-open window of event time. `start` is part of the window, `end` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeWindow {
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
}

impl TimeWindow {
    /// Returns whether a time is within the window. `at` is in microseconds since 1970.
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
    /// Above 0 and below 1.
    pub fraction: f64,
}

/// Time at which windows given in days end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Anchor {
    /// The time up to which all labels are final: `label_asof_utc` minus `maturity_days` (0 if not given).
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

/// Optional leakage rules, in addition to those that always apply.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeakageSpec {
    /// Entity columns, such as the card. No entity of the train or validation window may have rows in the test window.
    #[serde(default)]
    pub disjoint_entities: Vec<String>,
    /// Whether two rows may have equal content, in two windows or at two times of the test window. Some data has payments
    /// that repeat exactly.
    #[serde(default)]
    pub allow_repeated_content: bool,
    /// Greatest ROC AUC that a single feature may reach, whether it rises or falls with fraud. `None` asks for
    /// [`AucLimit::SINGLE_FEATURE`]. A plan holds `None` only if it was made by a release that had no default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_single_feature_auc: Option<AucLimit>,
    /// Greatest ROC AUC with which a single feature may tell rows of the test window from rows of the train window.
    /// `None` asks for [`AucLimit::WINDOWS`]. A plan holds `None` only if it was made by a release without this rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_window_auc: Option<AucLimit>,
    /// Fits models on shuffled labels, from which nothing can be learned. A good mean score of these models means that
    /// the trainer sees labels which it should not see. `None` skips this rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shuffled_label_canary: Option<CanarySpec>,
}

/// The limit of a rule that applies unless the profile switches it off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AucLimit {
    AtMost(f64),
    Off(SwitchedOff),
}

impl AucLimit {
    /// Above this value, a feature is more often a copy of the label than a good feature.
    pub const SINGLE_FEATURE: Self = Self::AtMost(0.95);
    /// Above this value, a feature is a clock or still fills up. Counts that grow stay below.
    pub const WINDOWS: Self = Self::AtMost(0.99);
}

/// Switches off a rule that applies otherwise, and says why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwitchedOff {
    #[serde(rename = "off")]
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CanarySpec {
    /// Number of fits. Each fit shuffles the labels differently.
    pub fits: u32,
    pub rounds: u32,
    /// The rule allows the mean ROC AUC of the fits to exceed 0.5 by at least this much. `None` leaves the limit to
    /// chance alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_above_chance: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluationSpec {
    /// The `k` of `precision_at_<k>`, `recall_at_<k>` and `card_precision_at_<k>`.
    pub k: Vec<u32>,
    /// False positive rates. Each is the `p` of a metric `recall_at_fpr_<p>`.
    pub fpr: Vec<f64>,
    /// Scores from which a payment counts as flagged, for confusion counts and as the `t` of
    /// `precision_at_threshold_<t>`, `recall_at_threshold_<t>`, `f1_at_threshold_<t>` and `fpr_at_threshold_<t>`.
    pub thresholds: Vec<f64>,
    /// Number of bins of equal width for the calibration curve and `expected_calibration_error`.
    pub calibration_bins: u32,
    pub histogram_bins: u32,
    pub curve_points: u32,
    pub intervals: IntervalSpec,
    pub slices: Vec<SliceSpec>,
    /// Thresholds that are chosen on the validation window and measured on the test window.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub operating_points: Vec<OperatingPointSpec>,
    /// What decisions cost. `None` leaves out the cost of operating points.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<CostSpec>,
    /// Least number of rows of each class in the test window and, if a model is fitted, in the train window and in the
    /// validation window, if there is one.
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
            intervals: IntervalSpec::default(),
            slices: Vec::new(),
            operating_points: Vec::new(),
            cost: None,
            min_rows_per_class: 10,
        }
    }
}

/// How confidence intervals of the metrics are computed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IntervalSpec {
    /// Share of windows in which an interval shall hold the true value, for example 0.95.
    pub confidence: f64,
    /// Payments of one entity are not independent of each other. `None` takes the first entity column of the data. A
    /// plan holds `None` only if the data has no entity column.
    pub cluster: Option<ClusterRule>,
}

impl Default for IntervalSpec {
    fn default() -> Self {
        Self { confidence: 0.95, cluster: None }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ClusterRule {
    /// An entity column, such as the card.
    Entity(String),
    /// Takes all payments as independent of each other.
    Off(SwitchedOff),
}

impl IntervalSpec {
    /// Returns the entity column whose payments belong together.
    pub fn entity(&self) -> Option<&str> {
        match &self.cluster {
            Some(ClusterRule::Entity(column)) => Some(column),
            Some(ClusterRule::Off(_)) | None => None,
        }
    }
}

/// A column: the metrics are computed separately for each of its values or ranges.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SliceSpec {
    pub column: String,
    /// Ascending bounds between slices of a numeric feature. A slice includes its lower bound. If empty, slices are
    /// values.
    #[serde(default)]
    pub cuts: Vec<f64>,
    /// Number of values that get their own slice: those with the most rows. All other values share one slice.
    #[serde(default = "SliceSpec::default_max_values")]
    pub max_values: u32,
}

impl SliceSpec {
    fn default_max_values() -> u32 {
        10
    }
}

/// An operating point: the threshold that meets a target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatingPointSpec {
    /// Lower-case letters, digits and underscores. The gate asks for `operating_points.<name>.<metric>`.
    pub name: String,
    pub target: PointTarget,
}

/// What the threshold of an operating point must meet on the validation window. A payment is flagged if its score is at
/// least the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PointTarget {
    /// The lowest threshold with at most this many flagged payments a day, on average.
    AlertsPerDay(f64),
    /// The lowest threshold that flags at most this share of the good payments.
    Fpr(f64),
    /// The lowest threshold whose flagged payments are frauds in at least this share.
    Precision(f64),
    /// The highest threshold that flags at least this share of the frauds.
    Recall(f64),
    /// The threshold of the least cost by [`CostSpec`], the highest of several.
    MinCost,
}

/// What decisions cost, in the unit of the data's amount column.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CostSpec {
    /// Cost of looking at one flagged payment.
    pub review: f64,
    /// Share of the amount that is lost by a fraud that is not flagged.
    pub loss_share: f64,
    /// Cost of flagging one good payment, in addition to `review`.
    pub friction: f64,
}

/// Limits on the trainer and its data. The operator's own limits may lower them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub wall_seconds: u32,
    pub memory_mib: u32,
    /// Processor time of all processes of the trainer together, in seconds.
    pub cpu_seconds: u32,
    /// What a trainer command may write, in MiB. Bounds each file, and all files together.
    pub file_mib: u32,
    /// Number of processes that a trainer command may have at one time.
    pub processes: u32,
    /// Number of rows of all data files together.
    pub max_rows: u64,
    /// Number of different values that one categorical feature may have in the train window.
    pub max_categories: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wall_seconds: 3_600,
            memory_mib: 8_192,
            // One hour on 16 cores.
            cpu_seconds: 57_600,
            file_mib: 4_096,
            processes: 64,
            max_rows: 50_000_000,
            max_categories: 1_000,
        }
    }
}
