//! `TrainPlan`: everything that determines the model, with every parameter written out.

use crate::domain::contract::{
    ColumnRoles, DataExpectation, EvaluationSpec, Feature, FeatureSet, IntentKind, LabelBasis, LeakageSpec, Limits,
    ProfileRef, Revisions, TargetScope, TimeWindow,
};
use crate::domain::identity::{Digest, RunId, RunKey, RunMeaning};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The digest of this document is the bundle's `run_config_digest`. The document holds no clock value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainPlan {
    pub schema_version: String,
    pub run_id: RunId,
    pub run_key: RunKey,
    pub intent_kind: IntentKind,
    pub platform_run_id: String,
    pub target_scope: TargetScope,
    /// Sorted by reference.
    pub manifests: Vec<PinnedManifest>,
    pub training_profile: PinnedDocument,
    pub governance_profile: PinnedDocument,
    pub ownership_boundaries_sha256: Digest,
    /// Data files, in the order of the manifests.
    pub files: Vec<PinnedFile>,
    pub columns: ColumnRoles,
    pub feature_definition_set: FeatureSet,
    /// The model's inputs, in the order in which it takes them.
    pub features: Vec<Feature>,
    pub label_basis: LabelBasis,
    pub split: PlannedSplit,
    pub seed: u64,
    pub algorithm: ResolvedAlgorithm,
    pub leakage: LeakageSpec,
    /// What must hold of the rows, each with its windows. Empty in a plan of a release that expected nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data_expectations: Vec<DataExpectation>,
    pub evaluation: EvaluationSpec,
    /// Limits that the profile asks for. A worker may allow less, but that is not part of the plan.
    pub limits: Limits,
    /// The bundle that a `regression_check` measures instead of fitting a model. `None` for other intents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<PinnedBundle>,
    /// The bundle that the model is compared with. `None` if the governance profile asks for no comparison.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub champion: Option<PlannedChampion>,
    pub revisions: Revisions,
}

impl TrainPlan {
    pub const SCHEMA_VERSION: &'static str = "learning.resolved_train_plan.v0";

    /// Returns the part of the request from which the run key is computed.
    pub fn meaning(&self) -> RunMeaning {
        RunMeaning {
            intent_kind: self.intent_kind.as_str().to_owned(),
            platform_run_id: self.platform_run_id.clone(),
            dataset_manifest_refs: self.manifests.iter().map(|manifest| manifest.reference.clone()).collect(),
            training_config_ref: self.training_profile.reference.clone(),
            governance_profile_ref: self.governance_profile.reference.clone(),
            target_scope: self.target_scope.parts(),
            policy_revision: self.revisions.policy_revision.clone(),
            config_revision: self.revisions.config_revision.clone(),
            mf_code_release_id: self.revisions.mf_code_release_id.clone(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedManifest {
    #[serde(rename = "ref")]
    pub reference: String,
    pub sha256: Digest,
    pub dataset_manifest_id: String,
    pub dataset_fingerprint: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedDocument {
    #[serde(rename = "ref")]
    pub reference: String,
    pub sha256: Digest,
    pub policy_id: String,
    pub revision: String,
}

impl PinnedDocument {
    /// Returns reference and digest, without what the document says of itself.
    pub fn at(&self) -> ProfileRef {
        ProfileRef { reference: self.reference.clone(), sha256: self.sha256 }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedFile {
    #[serde(rename = "ref")]
    pub reference: String,
    pub sha256: Digest,
    pub bytes: u64,
    pub rows: u64,
}

/// How rows are split, as far as the plan can say before any row is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "strategy", rename_all = "snake_case")]
pub enum PlannedSplit {
    TimeBased(Windows),
    /// Windows of given lengths, one after the other. The test window ends right after the last event in the rows.
    DaysBeforeLastEvent(WindowDays),
    /// Windows by shares of the rows, in order of event time. The rows of the delay count to the train and validation
    /// shares.
    SharesOfTime(TimeShares),
    /// Rows are drawn at random from each class. The plan's seed makes the draw repeatable.
    StratifiedRandom(Shares),
}

/// Windows whose boundaries are points in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Windows {
    pub train: TimeWindow,
    pub validation: Option<TimeWindow>,
    pub test: TimeWindow,
    /// Least number of days between the end of the train (or validation) window and the start of the test window.
    pub delay_days: u32,
    /// Entity column, for example the card. Rows of an entity are left out of the test window from the moment when a
    /// fraud of it since the start of the train window is known: when its label was observed or, if the data has no
    /// observation times, `delay_days` after it happened. `None` leaves no entity out.
    pub exclude_known_entity: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowDays {
    pub train_days: u32,
    pub validation_days: Option<u32>,
    pub test_days: u32,
    /// Days between the end of the train (or validation) window and the start of the test window.
    pub delay_days: u32,
    /// As in [`Windows`]. `None` leaves no entity out.
    pub exclude_known_entity: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeShares {
    pub shares: Shares,
    /// Days between the end of the train (or validation) window and the start of the test window.
    pub delay_days: u32,
    /// As in [`Windows`]. `None` leaves no entity out.
    pub exclude_known_entity: Option<String>,
}

/// Shares of the rows. Their sum is at most 1, up to rounding.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shares {
    pub train: f64,
    pub validation: Option<f64>,
    pub test: f64,
}

impl Shares {
    pub fn sum(&self) -> f64 {
        self.train + self.validation.unwrap_or(0.0) + self.test
    }
}

/// Which algorithm to fit, with every parameter written out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ResolvedAlgorithm {
    /// A command that the operator registered.
    Process(ProcessAlgorithm),
    BuiltIn(BuiltInAlgorithm),
}

impl ResolvedAlgorithm {
    pub const HESSBOOST: &'static str = "hessboost";
    /// Prefix of the algorithm's id where the algorithm is a registered command. The command's name follows.
    pub const PROCESS: &'static str = "process:";

    /// Returns `hessboost` or `process:<name>`.
    pub fn id(&self) -> &str {
        match self {
            Self::Process(algorithm) => &algorithm.id,
            Self::BuiltIn(algorithm) => &algorithm.id,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuiltInAlgorithm {
    pub id: String,
    /// The parameters of the fit. If there are candidates, the chosen one's parameters take their place.
    pub parameters: BoostParameters,
    /// `None` if there is nothing to choose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<PlannedChoice>,
}

impl BuiltInAlgorithm {
    /// Returns the parameters of the candidate with this name, or the algorithm's own.
    pub fn chosen(&self, name: Option<&str>) -> &BoostParameters {
        let candidates = self.choice.iter().flat_map(|choice| &choice.candidates);
        let mut named = candidates.filter(|candidate| Some(candidate.name.as_str()) == name);
        named.next().map_or(&self.parameters, |candidate| &candidate.parameters)
    }
}

/// The candidates, and how one is chosen: each is fitted to the train window and measured on the validation window. The
/// chosen parameters are then fitted as if the profile had named no others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedChoice {
    /// Name of the metric on the validation window.
    pub metric: String,
    /// At least two, with different names. Those of a search are `trial_1`, `trial_2`, …
    pub candidates: Vec<PlannedCandidate>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedCandidate {
    pub name: String,
    pub parameters: BoostParameters,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessAlgorithm {
    pub id: String,
    /// Parameters from the profile. Only the registered command knows what they mean.
    pub parameters: BTreeMap<String, serde_json::Value>,
    /// Digests of the command's registration and program at the time when the plan was made.
    pub command: PinnedCommand,
}

/// Digests of the command that trains. A worker refuses to start a command whose digests differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedCommand {
    pub registration_sha256: Digest,
    pub program_sha256: Digest,
    /// Digests of the files that the command's arguments name, such as a script, each under its argument.
    pub files: BTreeMap<String, Digest>,
}

/// Parameters of gradient-boosted trees, with XGBoost's names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BoostParameters {
    /// Loss that the fit minimises. The fit starts from the share of frauds among the rows.
    pub objective: BoostObjective,
    pub tree_method: BoostTreeMethod,
    pub eval_metric: BoostEvalMetric,
    pub rounds: u32,
    pub max_depth: u32,
    /// Learning rate.
    pub eta: f64,
    /// Share of rows per tree.
    pub subsample: f64,
    /// Share of columns per tree.
    pub colsample_bytree: f64,
    /// Least sum of hessians (second derivatives of the loss) in a leaf.
    pub min_child_weight: f64,
    /// L2 regularisation.
    pub lambda: f64,
    /// L1 regularisation.
    pub alpha: f64,
    /// Least loss reduction that a split must bring.
    pub gamma: f64,
    /// Upper bound on the number of histogram bins per numeric feature.
    pub max_bin: u32,
    /// Weight of a fraud relative to a legitimate payment.
    pub scale_pos_weight: f64,
    /// The fit stops after this many rounds without improvement on the validation window. 0 never stops early.
    pub early_stopping_rounds: u32,
    /// Share of columns per level of a tree.
    pub colsample_bylevel: f64,
    /// Share of columns per split.
    pub colsample_bynode: f64,
    pub grow_policy: BoostGrowPolicy,
    /// Most leaves of a tree that grows by `lossguide`. 0 sets no bound besides `max_depth`.
    pub max_leaves: u32,
    /// Groups of features, by name. The splits on a path from the root of a tree to a leaf use features of one group
    /// only. A feature in no group is a group by itself. Empty for no constraint.
    pub interaction_constraints: Vec<Vec<String>>,
    /// If true, the model is fitted once more with the number of trees at which the fit stopped early, to the rows of
    /// the train and the validation window together.
    pub refit: bool,
    /// Number of fits, each with a seed of its own. The model's margin (log odds) is the mean of theirs.
    pub seeds: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum BoostObjective {
    /// Log loss of a probability.
    #[default]
    #[serde(rename = "binary:logistic")]
    BinaryLogistic,
}

/// How the fit finds splits. Each category is a bin in every method. For a feature with up to 3 categories, a split
/// separates one category from the rest. With more categories, one side of a split has at most 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BoostTreeMethod {
    /// Finds splits by histograms of at most `max_bin` bins, which are the same for every tree.
    #[default]
    Hist,
    /// Finds splits by histograms of at most `max_bin` bins, which are made anew for each tree and are narrow where the
    /// model is least sure.
    Approx,
    /// Tries every value as a split. Uses no `max_bin`.
    Exact,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BoostGrowPolicy {
    /// Splits all nodes of a level before those of the next.
    #[default]
    DepthWise,
    /// Splits the node next that reduces the loss most.
    LossGuide,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BoostEvalMetric {
    #[default]
    LogLoss,
}

impl Default for BoostParameters {
    fn default() -> Self {
        Self {
            objective: BoostObjective::BinaryLogistic,
            tree_method: BoostTreeMethod::Hist,
            eval_metric: BoostEvalMetric::LogLoss,
            rounds: 100,
            max_depth: 6,
            eta: 0.3,
            subsample: 1.0,
            colsample_bytree: 1.0,
            min_child_weight: 1.0,
            lambda: 1.0,
            alpha: 0.0,
            gamma: 0.0,
            max_bin: 1_024,
            scale_pos_weight: 1.0,
            early_stopping_rounds: 0,
            colsample_bylevel: 1.0,
            colsample_bynode: 1.0,
            grow_policy: BoostGrowPolicy::DepthWise,
            max_leaves: 0,
            interaction_constraints: Vec::new(),
            refit: false,
            seeds: 1,
        }
    }
}

impl BoostParameters {
    /// Checks every parameter's range. The error names the first parameter that is out of range.
    pub fn check(&self) -> Result<(), String> {
        const MAX_LEAVES: &str = "0, or from 2 to 65536 with grow_policy lossguide";
        let share = |value: f64| value > 0.0 && value <= 1.0;
        let weight = |value: f64| value.is_finite() && value >= 0.0;
        let samples = [self.subsample, self.colsample_bytree, self.colsample_bylevel, self.colsample_bynode];
        let by_loss = self.grow_policy == BoostGrowPolicy::LossGuide;
        let rules = [
            ("rounds", (1..=10_000).contains(&self.rounds), "from 1 to 10000"),
            ("max_depth", (1..=16).contains(&self.max_depth), "from 1 to 16"),
            ("eta", share(self.eta), "above 0, at most 1"),
            ("subsample", share(self.subsample), "above 0, at most 1"),
            ("colsample_bytree", share(self.colsample_bytree), "above 0, at most 1"),
            ("colsample_bylevel", share(self.colsample_bylevel), "above 0, at most 1"),
            ("colsample_bynode", share(self.colsample_bynode), "above 0, at most 1"),
            ("min_child_weight", weight(self.min_child_weight), "0 or more"),
            ("lambda", weight(self.lambda), "0 or more"),
            ("alpha", weight(self.alpha), "0 or more"),
            ("gamma", weight(self.gamma), "0 or more"),
            ("max_bin", (2..=65_535).contains(&self.max_bin), "from 2 to 65535"),
            ("scale_pos_weight", weight(self.scale_pos_weight) && self.scale_pos_weight > 0.0, "above 0"),
            ("early_stopping_rounds", self.early_stopping_rounds <= 10_000, "at most 10000"),
            ("grow_policy", !by_loss || self.tree_method != BoostTreeMethod::Exact, "depthwise with tree_method exact"),
            ("max_leaves", self.max_leaves == 0 || (by_loss && (2..=65_536).contains(&self.max_leaves)), MAX_LEAVES),
            ("refit", !self.refit || self.early_stopping_rounds > 0, "false without early_stopping_rounds"),
            ("seeds", (1..=100).contains(&self.seeds), "from 1 to 100"),
            ("seeds", self.seeds == 1 || samples.iter().any(|share| *share < 1.0), "1 where no share is below 1"),
        ];
        match rules.iter().find(|(_, holds, _)| !holds) {
            Some((name, _, range)) => Err(format!("{name} must be {range}")),
            None => Ok(()),
        }
    }
}

/// A bundle of an earlier run, with the digests of its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedBundle {
    /// Reference of the bundle's `bundle.json`.
    #[serde(rename = "ref")]
    pub reference: String,
    pub sha256: Digest,
    pub run_id: RunId,
    pub model: PinnedModel,
    /// The model's inputs, in the order in which it takes them.
    pub features: Vec<Feature>,
    /// The instant by which all that the model learned was known: the start of its own test window. Null if its rows were
    /// drawn at random.
    pub learned_before: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedModel {
    /// Reference of the model's file, which is in the same folder as `bundle.json`.
    #[serde(rename = "ref")]
    pub reference: String,
    pub sha256: Digest,
    pub bytes: u64,
}

/// The bundle that a new model is compared with, and by which metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedChampion {
    pub bundle: PinnedBundle,
    /// Metrics, in the order of the names of the profile's thresholds.
    pub metrics: Vec<String>,
    /// Share of the resampled differences that lie within an interval, for example 0.95.
    pub confidence: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_that_would_have_no_effect_or_is_out_of_range_is_refused_by_name() {
        let refused = |text: &str| serde_json::from_str::<BoostParameters>(text).unwrap().check().unwrap_err();
        for (text, name) in [
            (r#"{"max_bin": 65536}"#, "max_bin"),
            (r#"{"max_leaves": 8}"#, "max_leaves"),
            (r#"{"grow_policy": "lossguide", "max_leaves": 1}"#, "max_leaves"),
            (r#"{"grow_policy": "lossguide", "tree_method": "exact"}"#, "grow_policy"),
            (r#"{"refit": true}"#, "refit"),
            (r#"{"seeds": 2}"#, "seeds"),
            (r#"{"seeds": 101, "subsample": 0.5}"#, "seeds"),
        ] {
            let message = refused(text);
            assert!(message.starts_with(&format!("{name} must be ")), "{text}: {message}");
        }
        let all = r#"{"tree_method": "approx", "grow_policy": "lossguide", "max_leaves": 8, "max_bin": 65535, "seeds": 2,
            "subsample": 0.5, "early_stopping_rounds": 5, "refit": true, "interaction_constraints": [["a", "b"]]}"#;
        serde_json::from_str::<BoostParameters>(all).unwrap().check().unwrap();
    }
}
