//! `EvalReport`: what was measured on the test window, and how. Also `LeakageReport`, to which the report refers.

use super::resolved_train_plan::{Shares, Windows};
use crate::domain::contract::{EvidenceRef, Revisions};
use crate::domain::identity::RunId;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;

/// The report holds no clock value, so that the same plan and measurements give the same bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalReport {
    pub schema_version: String,
    /// Derived from the run's id and the digest of the model.
    pub eval_report_id: String,
    pub run_id: RunId,
    pub dataset_manifest_refs: Vec<String>,
    /// The verdict that the gate will return for these metrics.
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
    /// Every condition of the gate is met.
    Pass,
    Fail,
}

/// The metrics, with the settings by which they were computed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalMetrics {
    /// Metrics on the whole test window.
    pub scores: Metrics,
    /// One entry per score in `evaluation.thresholds` of the training profile.
    pub confusion: Vec<Confusion>,
    pub curves: Curves,
    /// One entry per column by which the training profile slices.
    pub slices: Vec<SlicedBy>,
    pub dataset: DatasetSummary,
    /// Bounds of the governance profile, each under the name of its threshold, for example `min_auc_roc`.
    pub thresholds: BTreeMap<String, f64>,
    pub split: SettledSplit,
    pub seed: u64,
    /// Time up to which fraud reports are counted. Later reports are not in the labels.
    pub label_asof_utc: DateTime<Utc>,
    /// Number of trees in the model. Null if a registered command fitted the model.
    pub rounds: Option<u32>,
    /// What each input contributes to the scores. Empty if a registered command fitted the model.
    pub features: Vec<FeatureEffect>,
    /// Features whose values deserve a look. Empty if there are none, and in a report of a release that did not look.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub feature_findings: Vec<FeatureFinding>,
    /// Every candidate that was tried, and the one that was chosen. `None` if the profile gives no choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<Choice>,
    /// Comparison with the champion on the same rows. `None` if the governance profile names no champion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub champion: Option<Differences>,
}

/// How the parameters were chosen among the plan's candidates, on the validation window alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    pub metric: String,
    /// Name of the candidate with the best value. The first one of equals.
    pub chosen: String,
    /// In the order of the plan.
    pub tried: Vec<TriedCandidate>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TriedCandidate {
    pub name: String,
    /// Number of trees of the fit to the train window.
    pub rounds: u32,
    /// Null if the metric is undefined.
    pub value: Option<f64>,
    pub undefined_because: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalProvenance {
    pub resolved_train_plan: EvidenceRef,
    pub model: EvidenceRef,
    /// The document with the score of every test row, from which the metrics were computed.
    pub scores: EvidenceRef,
    pub leakage_report: EvidenceRef,
    /// The decision report of the same model. `None` in reports of earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision_report: Option<EvidenceRef>,
    pub revisions: Revisions,
}

/// Metrics, each under its name, for example `auc_roc` or `precision_at_100`.
pub type Metrics = BTreeMap<String, MetricValue>;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricValue {
    /// Null if the metric is undefined.
    pub value: Option<f64>,
    pub undefined_because: Option<String>,
    /// `None` if the metric is undefined, if it is that of a slice, or if no method gives an interval that can be trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// Why a metric that has a value has no interval. `None` for slices, which have no intervals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_interval_because: Option<String>,
}

/// Confidence interval of a metric, or of a difference of two models.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
    /// Share of windows in which such an interval holds the true value, for example 0.95.
    pub confidence: f64,
    pub method: IntervalMethod,
    /// Number of independent units with frauds: entities or, if payments are not clustered, payments. Days for a metric
    /// per day.
    pub units: u64,
}

/// How an interval was computed. All methods but `Days` use the variance over entities by the influence of each payment
/// and Student's distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum IntervalMethod {
    /// On the scale of log-odds. The worse end counts half an entity more, whose frauds the model does not see.
    LogOdds,
    /// On the scale of logarithms. The worse end counts half an entity more, whose frauds the model does not see.
    Log,
    /// Wilson's interval with the effective number of payments.
    Wilson,
    /// Of a difference: both models on the same entities.
    Paired,
    /// Of the mean over days.
    Days,
}

/// Candidate compared with champion: one entry for each metric, under its name.
pub type Differences = BTreeMap<String, Difference>;

/// One metric of a candidate and of a champion, measured on the same rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    pub champion: Option<f64>,
    pub candidate: Option<f64>,
    /// The candidate's value minus the champion's. Null if one of the two is undefined.
    pub difference: Option<f64>,
    pub undefined_because: Option<String>,
    /// Interval of the difference. Null if the difference is undefined, or if no method gives an interval that can be
    /// trusted.
    pub interval: Option<Interval>,
    /// Why a difference that is defined has no interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_interval_because: Option<String>,
}

/// How many payments are flagged rightly or wrongly. Like the counts of curves, these are the payments that rows stand
/// for, where rows have weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confusion {
    /// A payment is flagged if its score is at least this.
    pub threshold: f64,
    #[serde(serialize_with = "payments")]
    pub true_positives: f64,
    #[serde(serialize_with = "payments")]
    pub false_positives: f64,
    #[serde(serialize_with = "payments")]
    pub true_negatives: f64,
    #[serde(serialize_with = "payments")]
    pub false_negatives: f64,
}

/// Writes a number of payments. It has a fraction only where rows have weights; a whole number is written without a
/// point.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn payments<S: Serializer>(count: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    /// Up to here every whole number is a 64-bit float.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if count.fract() == 0.0 && (0.0..=EXACT).contains(count) {
        serializer.serialize_u64(*count as u64)
    } else {
        serializer.serialize_f64(*count)
    }
}

/// Curves for people to look at. The profile bounds their points by `curve_points`, and their bins by
/// `calibration_bins` and `histogram_bins`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curves {
    /// Points from "no payment flagged" to "all payments flagged". Empty unless there are frauds and good payments.
    pub roc: Vec<RocPoint>,
    /// Points from "no payment flagged" to "all payments flagged". Empty if there are no frauds.
    pub precision_recall: Vec<PrecisionRecallPoint>,
    /// Bins that have rows, in ascending order of score.
    pub calibration: Vec<CalibrationBin>,
    /// Bins of equal width, in ascending order of score.
    pub score_histogram: Vec<HistogramBin>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RocPoint {
    pub false_positive_rate: f64,
    pub true_positive_rate: f64,
    /// A payment is flagged if its score is at least this. Null at the point where no payment is flagged.
    pub threshold: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrecisionRecallPoint {
    pub recall: f64,
    /// 1 if no payment is flagged, as in scikit-learn.
    pub precision: f64,
    /// A payment is flagged if its score is at least this. Null at the point where no payment is flagged.
    pub threshold: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationBin {
    /// Lower bound, not part of the bin. Only the first bin includes its lower bound, 0.
    pub low: f64,
    /// Upper bound, part of the bin.
    pub high: f64,
    #[serde(serialize_with = "payments")]
    pub rows: f64,
    pub mean_score: f64,
    pub fraud_rate: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistogramBin {
    /// Lower bound, part of the bin.
    pub low: f64,
    /// Upper bound, not part of the bin. Only the last bin includes its upper bound, 1.
    pub high: f64,
    /// Number of frauds.
    #[serde(serialize_with = "payments")]
    pub positives: f64,
    /// Number of legitimate payments.
    #[serde(serialize_with = "payments")]
    pub negatives: f64,
}

/// Metrics of the test window, computed separately for each value or range of one column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlicedBy {
    pub column: String,
    /// Ranges in ascending order, or values by descending number of rows. After these, one slice of missing values and
    /// one of all other values, if there are any.
    pub slices: Vec<Slice>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    /// The value or the range, as text.
    pub slice: String,
    pub rows: u64,
    pub positives: u64,
    /// `None` if each row is one payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stands_for: Option<StandsFor>,
    pub scores: Metrics,
}

/// The payments that rows with weights stand for: the sum of the weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StandsFor {
    #[serde(serialize_with = "payments")]
    pub payments: f64,
    #[serde(serialize_with = "payments")]
    pub frauds: f64,
}

impl StandsFor {
    /// Returns the share of frauds among the payments of `rows` rows, of which `positives` are frauds.
    fn fraud_rate(of: Option<Self>, rows: u64, positives: u64) -> f64 {
        let of = of.unwrap_or(Self { payments: rows as f64, frauds: positives as f64 });
        if of.payments > 0.0 { of.frauds / of.payments } else { 0.0 }
    }
}

impl Slice {
    /// Returns the share of frauds among the payments, 0 if there are none.
    pub fn fraud_rate(&self) -> f64 {
        StandsFor::fraud_rate(self.stands_for, self.rows, self.positives)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetSummary {
    /// Rows in all files.
    pub rows: u64,
    /// Rows outside every window.
    pub unused_rows: u64,
    /// Rows left out of the test window because their entity (such as a card) was known as fraud at their event time.
    pub excluded_rows: u64,
    pub train: WindowSummary,
    pub validation: Option<WindowSummary>,
    pub test: WindowSummary,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowSummary {
    pub rows: u64,
    pub positives: u64,
    /// `None` if each row is one payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stands_for: Option<StandsFor>,
}

impl WindowSummary {
    /// Returns the share of frauds among the payments, 0 if there are none.
    pub fn fraud_rate(&self) -> f64 {
        StandsFor::fraud_rate(self.stands_for, self.rows, self.positives)
    }
}

/// A split with all boundaries known. The plan gives the boundaries, or they were computed from the rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "strategy", rename_all = "snake_case")]
pub enum SettledSplit {
    TimeBased(Windows),
    /// A seeded random draw from each class.
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
    /// Summed loss reduction of the splits on this feature.
    pub total_gain: f64,
    /// Mean absolute SHAP value over the test window, in log-odds (Lundberg et al., "Consistent Individualized Feature
    /// Attribution for Tree Ensembles", 2018).
    pub mean_abs_shap: f64,
    /// Mean SHAP value over the test window, in log-odds. Above 0 if the feature raises the scores on average.
    pub mean_shap: f64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureFinding {
    pub feature: String,
    pub finding: FindingKind,
    /// Rows of the window or windows that the finding is about. For `rounded`, the rounded values among all rows.
    pub rows: u64,
}

/// What is unusual about the values of a feature. A category that the train window does not have counts as missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    AllMissing,
    MissingInTrain,
    MissingInValidation,
    MissingInTest,
    /// The train window has one value, which no row lacks.
    Constant,
    /// Whole numbers beyond 2^24 became other numbers, since the model reads 32-bit floats.
    Rounded,
}

impl FindingKind {
    /// Says to people what was found, as the rest of a sentence that begins with the feature's name.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::AllMissing => "has no value in any window",
            Self::MissingInTrain => "has no value in the train window: the model learned nothing from it",
            Self::MissingInValidation => "has no value in the validation window",
            Self::MissingInTest => "has no value in the test window that the model knows",
            Self::Constant => "has one value in the whole train window: the model learned nothing from it",
            Self::Rounded => "has whole numbers beyond 2^24, which the model reads rounded to 32-bit floats",
        }
    }
}

/// Which leakage rules were checked, and which rows, columns or entities violate them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeakageReport {
    pub schema_version: String,
    pub clean: bool,
    /// Every rule that was checked, in a fixed order.
    pub rules: Vec<LeakageRule>,
    /// Every rule that was not checked. Empty in a report of a release that did not list them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_asked: Vec<UnaskedRule>,
}

impl LeakageReport {
    pub const SCHEMA_VERSION: &'static str = "learning.leakage_report.v0";

    pub fn of(rules: Vec<LeakageRule>, not_asked: Vec<UnaskedRule>) -> Self {
        Self {
            schema_version: Self::SCHEMA_VERSION.to_owned(),
            clean: rules.iter().all(|rule| rule.violations == 0),
            rules,
            not_asked,
        }
    }

    #[must_use]
    pub fn with(mut self, rule: LeakageRule) -> Self {
        self.rules.push(rule);
        Self::of(self.rules, self.not_asked)
    }

    /// Returns the violated rules as one sentence. Empty if no rule is violated.
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
    /// Number of rows, columns or entities that were checked.
    pub checked: u64,
    pub violations: u64,
    /// Up to ten violations: row ids, or names of columns or entities.
    pub witnesses: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnaskedRule {
    pub rule: String,
    /// Why the rule is not checked: what the profile or the manifests say or leave out.
    pub because: String,
}
