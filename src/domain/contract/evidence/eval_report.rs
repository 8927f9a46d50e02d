//! `EvalReport`: what was measured on the test window, and how; and `LeakageReport`, which it rests on.

use super::resolved_train_plan::{Shares, Windows};
use crate::domain::contract::{EvidenceRef, Revisions};
use crate::domain::identity::RunId;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Holds no clock value: the same plan gives the same bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalReport {
    pub schema_version: String,
    /// Follows from the run and the digest of its model.
    pub eval_report_id: String,
    pub run_id: RunId,
    pub dataset_manifest_refs: Vec<String>,
    /// What the gate will decide on these metrics.
    pub gate_decision: Decision,
    pub metrics: EvalMetrics,
    pub provenance: EvalProvenance,
}

impl EvalReport {
    pub const SCHEMA_VERSION: &'static str = "learning.eval_report.v0";
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Decision {
    /// Every condition of the gate holds.
    Pass,
    Fail,
}

/// What was measured, with the settings that decide how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalMetrics {
    /// On the whole test window.
    pub scores: Metrics,
    /// One entry per threshold of the training profile.
    pub confusion: Vec<Confusion>,
    pub curves: Curves,
    /// One entry per column that the training profile slices by.
    pub slices: Vec<SlicedBy>,
    pub dataset: DatasetSummary,
    /// The bounds of the governance profile, by the names of its thresholds.
    pub thresholds: BTreeMap<String, f64>,
    pub split: SettledSplit,
    pub seed: u64,
    /// No label holds anything that became known later.
    pub label_asof_utc: DateTime<Utc>,
    /// Trees in the model; null where a registered command fitted it.
    pub rounds: Option<u32>,
    /// Empty where a registered command fitted the model.
    pub features: Vec<FeatureEffect>,
    /// The model's metrics less the champion's on the same rows; left out where there is no champion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub champion: Option<Differences>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalProvenance {
    pub resolved_train_plan: EvidenceRef,
    pub model: EvidenceRef,
    /// The scores that the metrics were computed from.
    pub scores: EvidenceRef,
    pub leakage_report: EvidenceRef,
    pub revisions: Revisions,
}

/// By name, for example `auc_roc` or `precision_at_100`.
pub type Metrics = BTreeMap<String, MetricValue>;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricValue {
    /// Null where the metric is undefined.
    pub value: Option<f64>,
    pub undefined_because: Option<String>,
    /// Left out where no interval was asked for, or the metric is undefined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
}

/// A percentile interval from resampled windows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
    /// Share of the replicates between the bounds.
    pub confidence: f64,
    /// Replicates in which the metric is defined; the bounds are taken from these.
    pub replicates: u32,
}

/// By the name of the metric.
pub type Differences = BTreeMap<String, Difference>;

/// A metric of a candidate and of a champion on the same rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    pub champion: Option<f64>,
    pub candidate: Option<f64>,
    /// The candidate's value less the champion's; null where one of them is.
    pub difference: Option<f64>,
    pub undefined_because: Option<String>,
    /// From replicates that draw the same rows for both models; null for metrics per day, and where the
    /// difference is undefined.
    pub interval: Option<Interval>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confusion {
    /// Score from which a payment is flagged; a payment with exactly this score is flagged.
    pub threshold: f64,
    pub true_positives: u64,
    pub false_positives: u64,
    pub true_negatives: u64,
    pub false_negatives: u64,
}

/// Curves with no more points than the profile's `curve_points`, for people to look at.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curves {
    /// From no payment flagged to all; empty where there is only one class.
    pub roc: Vec<RocPoint>,
    /// From no payment flagged to all; empty where there are no frauds.
    pub precision_recall: Vec<PrecisionRecallPoint>,
    /// Bins that hold rows, ascending.
    pub calibration: Vec<CalibrationBin>,
    /// Bins of equal width, ascending.
    pub score_histogram: Vec<HistogramBin>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RocPoint {
    pub false_positive_rate: f64,
    pub true_positive_rate: f64,
    /// Score from which a payment is flagged; null where none is.
    pub threshold: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrecisionRecallPoint {
    pub recall: f64,
    /// 1 where nothing is flagged, as scikit-learn has it.
    pub precision: f64,
    /// Score from which a payment is flagged; null where none is.
    pub threshold: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationBin {
    /// Outside the bin, but 0 is in the first one.
    pub low: f64,
    /// Inside the bin.
    pub high: f64,
    pub rows: u64,
    pub mean_score: f64,
    pub fraud_rate: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistogramBin {
    /// Inside the bin.
    pub low: f64,
    /// Outside the bin, but 1 is in the last one.
    pub high: f64,
    /// Frauds.
    pub positives: u64,
    /// Good payments.
    pub negatives: u64,
}

/// The test window by the values of one column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlicedBy {
    pub column: String,
    /// Ranges ascending, or values with the most rows first; then missing values, then the rest.
    pub slices: Vec<Slice>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    /// The value or the range.
    pub slice: String,
    pub rows: u64,
    pub positives: u64,
    pub scores: Metrics,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetSummary {
    /// Rows in the files.
    pub rows: u64,
    /// Rows outside every window.
    pub unused_rows: u64,
    /// Rows of the test window that belong to entities already known as fraud.
    pub excluded_rows: u64,
    pub train: WindowSummary,
    pub validation: Option<WindowSummary>,
    pub test: WindowSummary,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowSummary {
    pub rows: u64,
    pub positives: u64,
}

/// A split whose boundaries are all known: the plan gives them, or they follow from the rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "strategy", rename_all = "snake_case")]
pub enum SettledSplit {
    TimeBased(Windows),
    /// A seeded draw of each class.
    StratifiedRandom(Shares),
}

impl SettledSplit {
    pub fn has_validation(&self) -> bool {
        match self {
            Self::TimeBased(windows) => windows.validation.is_some(),
            Self::StratifiedRandom(shares) => shares.validation.is_some(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureEffect {
    pub feature: String,
    pub splits: u64,
    /// Loss reduction of these splits, summed.
    pub total_gain: f64,
    /// Mean size of its contribution to the log-odds of a row of the test window (SHAP value: Lundberg et
    /// al., "Consistent Individualized Feature Attribution for Tree Ensembles", 2018).
    pub mean_abs_shap: f64,
    /// Mean of its contribution; above 0 where it makes fraud likelier.
    pub mean_shap: f64,
}

/// What the leakage rules looked at, and which rows break them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeakageReport {
    pub schema_version: String,
    pub clean: bool,
    /// Every rule that applies, in a fixed order.
    pub rules: Vec<LeakageRule>,
}

impl LeakageReport {
    pub const SCHEMA_VERSION: &'static str = "learning.leakage_report.v0";

    pub fn of(rules: Vec<LeakageRule>) -> Self {
        Self {
            schema_version: Self::SCHEMA_VERSION.to_owned(),
            clean: rules.iter().all(|rule| rule.violations == 0),
            rules,
        }
    }

    #[must_use]
    pub fn with(mut self, rule: LeakageRule) -> Self {
        self.rules.push(rule);
        Self::of(self.rules)
    }

    /// The violated rules in one sentence.
    pub fn message(&self) -> String {
        let broken: Vec<String> = self
            .rules
            .iter()
            .filter(|rule| rule.violations > 0)
            .map(|rule| format!("{}: {} (first: {})", rule.rule, rule.violations, rule.witnesses.join(", ")))
            .collect();
        broken.join("; ")
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeakageRule {
    pub rule: String,
    /// Rows (or columns, or entities) looked at.
    pub checked: u64,
    pub violations: u64,
    /// Up to ten of these: row ids, or names.
    pub witnesses: Vec<String>,
}
