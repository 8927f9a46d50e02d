//! `GateReceipt`: the gate's verdict on a model, condition by condition.

use super::eval_report::{Decision, Interval};
use crate::domain::contract::{BundleRef, EvidenceRef, ProfileRef, ThresholdBasis, UnknownSlices};
use crate::domain::identity::RunId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateReceipt {
    pub schema_version: String,
    pub run_id: RunId,
    pub decision: Decision,
    pub thresholds: Vec<ThresholdVerdict>,
    pub min_positives: PositivesVerdict,
    /// Comparison with the champion. `None` if the profile asks for no comparison.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub champion: Option<ChampionVerdict>,
    /// Conditions on every slice of a column. Empty if the profile has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<SliceVerdict>,
    /// Conditions on ratios between slices. Empty if the profile has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ratio: Vec<RatioVerdict>,
    /// Names of the conditions that are not met.
    pub failed: Vec<String>,
    /// Every document that the verdict rests on, each under its role, for example `eval_report`.
    pub looked_at: BTreeMap<String, EvidenceRef>,
    /// The governance profile that the verdict follows from. `None` in receipts of earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub governance_profile: Option<ProfileRef>,
    /// What the governance profile says of itself. Anybody may write the same into a profile.
    pub policy_id: String,
    pub policy_revision: String,
}

impl GateReceipt {
    pub const SCHEMA_VERSION: &'static str = "learning.gate_receipt.v0";

    /// Leaves out what an existing receipt of the same run leaves out because an earlier release wrote it. Both then have
    /// the same bytes.
    #[must_use]
    pub fn like(self, existing: &Self) -> Self {
        let names_profile = existing.governance_profile.is_some();
        Self { governance_profile: self.governance_profile.filter(|_| names_profile), ..self }
    }

    /// Returns the number of conditions, met or not.
    pub fn conditions(&self) -> usize {
        let compared = self.champion.as_ref().map_or(0, |champion| champion.differences.len());
        self.thresholds.len() + 1 + compared + self.slices.len() + self.ratio.len()
    }

    /// Returns the conditions that are not met, as one sentence. Conditions on the champion are named in the sentence.
    pub fn failure_message(&self) -> String {
        let mut reasons: Vec<String> = self.thresholds.iter().filter(|v| !v.holds).map(|v| v.reason.clone()).collect();
        if !self.min_positives.holds {
            let PositivesVerdict { required, found, .. } = self.min_positives;
            reasons.push(format!("the test window holds {found} frauds, required are {required}"));
        }
        let compared = self.champion.iter().flat_map(|champion| &champion.differences).filter(|v| !v.holds);
        reasons.extend(compared.map(|verdict| format!("{}: {}", verdict.name(), verdict.reason)));
        reasons.extend(self.slices.iter().filter(|v| !v.holds).map(|v| v.reason.clone()));
        reasons.extend(self.ratio.iter().filter(|v| !v.holds).map(|v| v.reason.clone()));
        reasons.join("; ")
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThresholdVerdict {
    /// Name of the threshold in the profile, for example `min_auc_roc`.
    pub threshold: String,
    pub metric: String,
    pub direction: Direction,
    pub bound: f64,
    pub on: ThresholdBasis,
    /// The measured value. Null if the metric is undefined: the condition is then not met.
    pub value: Option<f64>,
    pub interval: Option<Interval>,
    /// The number that was compared with the bound: the value, or one end of its interval. Null never meets the
    /// condition.
    pub compared: Option<f64>,
    pub holds: bool,
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The metric must be at least the bound.
    Min,
    /// The metric must be at most the bound.
    Max,
}

/// Whether the test window has enough frauds to trust the metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PositivesVerdict {
    pub required: u64,
    pub found: u64,
    pub holds: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChampionVerdict {
    pub bundle: BundleRef,
    /// Share of the resampled differences that lie within an interval, for example 0.95.
    pub confidence: f64,
    pub differences: Vec<DifferenceVerdict>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DifferenceVerdict {
    /// Name of the threshold in the profile.
    pub threshold: String,
    pub metric: String,
    pub direction: Direction,
    /// Bound on the candidate's value minus the champion's.
    pub bound: f64,
    pub on: ThresholdBasis,
    pub champion: Option<f64>,
    pub candidate: Option<f64>,
    /// The candidate's value minus the champion's. Null if the difference is undefined: the condition is then not met.
    pub difference: Option<f64>,
    pub interval: Option<Interval>,
    /// The number that was compared with the bound: the difference, or one end of its interval. Null never meets the
    /// condition.
    pub compared: Option<f64>,
    pub holds: bool,
    pub reason: String,
}

impl DifferenceVerdict {
    /// Returns the name that this condition has in `failed`.
    pub fn name(&self) -> String {
        format!("champion.{}", self.threshold)
    }
}

/// Verdict on a metric in every slice of a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SliceVerdict {
    pub column: String,
    pub metric: String,
    pub direction: Direction,
    pub bound: f64,
    pub min_rows: u64,
    pub min_positives: u64,
    /// What the profile says about unknown slices.
    pub unknown: UnknownSlices,
    /// The slice with the worst value. Null if no slice is known.
    pub worst: Option<SliceFinding>,
    /// Number of slices that were compared with the bound.
    pub known: u64,
    /// Slices that break the bound, or in which the metric is undefined, by name.
    pub failing: Vec<String>,
    /// Slices with too few rows or frauds, by name.
    pub unknown_slices: Vec<String>,
    pub outcome: SliceOutcome,
    pub holds: bool,
    pub reason: String,
}

/// Verdict on a ratio between slices of a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RatioVerdict {
    pub column: String,
    pub metric: String,
    pub bound: f64,
    pub min_rows: u64,
    pub min_positives: u64,
    /// What the profile says about unknown slices.
    pub unknown: UnknownSlices,
    /// The slice with the greatest value. Null if no slice is known.
    pub greatest: Option<SliceFinding>,
    /// The slice with the least value. Null if no slice is known.
    pub least: Option<SliceFinding>,
    /// The greatest value divided by the least. 1 if both are 0. Null if only the least is 0: the condition is then not
    /// met.
    pub ratio: Option<f64>,
    /// Slices with too few rows or frauds, by name.
    pub unknown_slices: Vec<String>,
    pub outcome: SliceOutcome,
    pub holds: bool,
    pub reason: String,
}

/// What was measured on one slice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SliceFinding {
    pub slice: String,
    pub rows: u64,
    pub positives: u64,
    pub value: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SliceOutcome {
    Holds,
    Fails,
    /// No slice breaks the bound, and there are too few rows or frauds in a slice to say more.
    Unknown,
}

impl SliceVerdict {
    /// Returns the name that this condition has in `failed`.
    pub fn name(&self) -> String {
        let side = match self.direction {
            Direction::Min => "min",
            Direction::Max => "max",
        };
        format!("slices.{}.{side}_{}", self.column, self.metric)
    }
}

impl RatioVerdict {
    /// Returns the name that this condition has in `failed`.
    pub fn name(&self) -> String {
        format!("ratio.{}.max_{}", self.column, self.metric)
    }
}
