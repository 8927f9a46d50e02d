//! Training profiles: pinned policy that a request refers to. YAML or JSON, unknown keys refused.

use super::{BundleRef, EvaluationSpec, ExpectedLabels, FeatureSet};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How to train and measure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingProfile {
    /// Name of the policy.
    pub policy_id: String,
    /// Its revision.
    pub revision: String,
    /// The feature set that the manifests must hold.
    pub feature_definition_set: FeatureSet,
    /// The manifest version that this profile was written for.
    pub expected_manifest_schema_version: String,
    /// How the labels must have been resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_label_basis: Option<ExpectedLabels>,
    /// The model's inputs, in this order.
    pub features: Vec<Feature>,
    /// What to fit.
    pub algorithm: Algorithm,
    /// Which rows are for what.
    pub split: SplitSpec,
    /// Where the seed comes from.
    pub seed_policy: SeedPolicy,
    /// What counts as leakage beyond the rules that always hold.
    #[serde(default)]
    pub leakage: LeakageSpec,
    /// What to measure.
    #[serde(default)]
    pub evaluation: EvaluationSpec,
    /// Bounds on the work.
    #[serde(default)]
    pub limits: Limits,
    /// The bundle that a `regression_check` evaluates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline_bundle_ref: Option<BundleRef>,
}

/// One input of the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// Column name.
    pub name: String,
    /// How its values are read.
    #[serde(rename = "type")]
    pub kind: FeatureKind,
    /// Whether the score must go one way with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monotone: Option<Monotone>,
}

/// How a feature's values are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureKind {
    /// A number; null is missing.
    Numeric,
    /// One of a set of values.
    Categorical,
}

/// Direction of a monotone constraint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Monotone {
    /// The score never falls as the feature rises.
    Increasing,
    /// The score never rises as the feature rises.
    Decreasing,
}

/// What to fit. In a profile parameters may be left out; the plan writes every one out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Algorithm {
    /// `hessboost` (built in) or `process:<name>`.
    pub id: String,
    /// By name; checked by the algorithm.
    #[serde(default)]
    pub parameters: BTreeMap<String, serde_json::Value>,
}

/// Which rows are for what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "strategy", rename_all = "snake_case", deny_unknown_fields)]
pub enum SplitSpec {
    /// Windows of event time, all given in the same way.
    TimeBased {
        /// Rows to fit on.
        train: WindowSpec,
        /// Rows for early stopping.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        validation: Option<WindowSpec>,
        /// Rows to measure on.
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
        /// Rows to fit on.
        train: ShareSpec,
        /// Rows for early stopping.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        validation: Option<ShareSpec>,
        /// Rows to measure on.
        test: ShareSpec,
    },
}

/// A window of event time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum WindowSpec {
    /// By dates.
    Dates(DatesSpec),
    /// By its length; train, validation, delay and test follow each other and end at the anchor.
    Days(DaysSpec),
    /// By its share of the rows in the order of time.
    Share(ShareSpec),
}

/// A half-open window: `start` is in, `end` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatesSpec {
    /// First instant in the window.
    pub start: DateTime<Utc>,
    /// First instant after it.
    pub end: DateTime<Utc>,
}

/// Length of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DaysSpec {
    /// Days of 24 hours.
    pub days: u32,
}

/// Share of the rows.
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

/// Where the seed comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedPolicy {
    /// `fixed` (the base seed itself) or `per_run` (derived from base seed and run key).
    pub recipe: String,
    /// The base.
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

/// Fits on shuffled labels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CanarySpec {
    /// Fits, each with an order of its own.
    pub fits: u32,
    /// Trees of each.
    pub rounds: u32,
    /// Most that their mean ROC AUC on the test window may lie above one half.
    pub max_above_chance: f64,
}

/// Bounds on the work; the operator's own bounds cap them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Wall time of the trainer.
    #[serde(default = "Limits::default_wall_seconds")]
    pub wall_seconds: u32,
    /// Memory of the trainer.
    #[serde(default = "Limits::default_memory_mib")]
    pub memory_mib: u32,
    /// Processor time of the trainer, over all its processes.
    #[serde(default = "Limits::default_cpu_seconds")]
    pub cpu_seconds: u32,
    /// What a trainer command may write: the largest file, and all files together.
    #[serde(default = "Limits::default_file_mib")]
    pub file_mib: u32,
    /// Processes of a trainer command at a time.
    #[serde(default = "Limits::default_processes")]
    pub processes: u32,
    /// Rows over all files.
    #[serde(default = "Limits::default_max_rows")]
    pub max_rows: u64,
    /// Values of one categorical feature in the train window.
    #[serde(default = "Limits::default_max_categories")]
    pub max_categories: u32,
}

impl Limits {
    fn default_wall_seconds() -> u32 {
        3_600
    }

    fn default_memory_mib() -> u32 {
        8_192
    }

    /// An hour on sixteen cores.
    fn default_cpu_seconds() -> u32 {
        57_600
    }

    fn default_file_mib() -> u32 {
        4_096
    }

    fn default_processes() -> u32 {
        64
    }

    fn default_max_rows() -> u64 {
        50_000_000
    }

    fn default_max_categories() -> u32 {
        1_000
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wall_seconds: Self::default_wall_seconds(),
            memory_mib: Self::default_memory_mib(),
            cpu_seconds: Self::default_cpu_seconds(),
            file_mib: Self::default_file_mib(),
            processes: Self::default_processes(),
            max_rows: Self::default_max_rows(),
            max_categories: Self::default_max_categories(),
        }
    }
}
