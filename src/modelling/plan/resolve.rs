//! Resolves a request into a train plan, and makes every check that needs no rows.

use super::choice::{parameters, plan_choice};
use super::compatible::{check_feature_sets, check_labels, check_leakage, pin_files};
use super::documents::{Parsed, Sources, check_governance_profile, check_manifests, check_training_profile};
use super::earlier::{plan_baseline, plan_champion};
use super::expected::plan_expectations;
use super::measurable::measurable;
use super::planned_split::plan_split;
use crate::domain::contract::{
    AucLimit, BoostParameters, BuiltInAlgorithm, ClusterRule, ColumnRoles, EvaluationSpec, IntervalSpec, LeakageSpec,
    PinnedCommand, PinnedDocument, PinnedManifest, ProcessAlgorithm, ResolvedAlgorithm, SeedPolicy, SplitSpec,
    TrainPlan, TrainingProfile,
};
use crate::domain::identity::recipe_digest;
use crate::domain::run::{Failure, FailureCode};
use serde_json::json;
use std::collections::BTreeMap;

/// Builds the plan. The failure says which documents do not fit together, and why.
pub fn resolve(sources: &Sources<'_>) -> Result<TrainPlan, Failure> {
    let request = sources.request;
    let (profile, governance) = (&sources.training_profile.content, &sources.governance_profile.content);
    let manifests = sources.manifests;
    check_manifests(sources)?;
    check_training_profile(sources.training_profile)?;
    check_governance_profile(sources.governance_profile)?;
    check_feature_sets(manifests, profile)?;
    let first = &manifests[0].content;
    check_labels(manifests, profile.expected_label_basis.as_ref(), sources.started_at)?;
    check_leakage(&profile.leakage, manifests)?;
    let files = pin_files(manifests)?;
    let columns = &first.materializations[0].columns;
    measurable(&profile.evaluation, &profile.features, columns, &profile.split)
        .map_err(|error| sources.training_profile.invalid(FailureCode::TrainingProfileInvalid, error))?;
    let data_expectations = plan_expectations(profile, columns, request.intent_kind.trains())
        .map_err(|error| sources.training_profile.invalid(FailureCode::TrainingProfileInvalid, error))?;
    let run_key = request.run_key();
    Ok(TrainPlan {
        schema_version: TrainPlan::SCHEMA_VERSION.to_owned(),
        run_id: run_key.run_id(),
        run_key,
        intent_kind: request.intent_kind,
        platform_run_id: request.platform_run_id.clone(),
        target_scope: request.target_scope.clone(),
        manifests: manifests
            .iter()
            .map(|parsed| PinnedManifest {
                reference: parsed.reference.clone(),
                sha256: parsed.sha256,
                dataset_manifest_id: parsed.content.dataset_manifest_id.clone(),
                dataset_fingerprint: parsed.content.dataset_fingerprint.clone(),
            })
            .collect(),
        training_profile: pin(sources.training_profile, &profile.policy_id, &profile.revision),
        governance_profile: pin(sources.governance_profile, &governance.policy_id, &governance.revision),
        ownership_boundaries_sha256: sources.ownership_boundaries_sha256,
        files,
        columns: columns.clone(),
        feature_definition_set: profile.feature_definition_set.clone(),
        features: profile.features.clone(),
        label_basis: first.label_basis.clone(),
        split: plan_split(&profile.split, columns, &first.label_basis)?,
        seed: seed(&profile.seed_policy, &run_key.to_string())?,
        algorithm: resolve_algorithm(profile, columns, sources.commands)?,
        leakage: leakage_rules(&profile.leakage),
        data_expectations,
        evaluation: evaluation(&profile.evaluation, columns),
        limits: profile.limits.clone(),
        baseline: plan_baseline(sources, profile)?,
        champion: plan_champion(sources, profile, governance)?,
        revisions: request.revisions(),
    })
}

/// Writes out the entity by which intervals are computed, if the profile says nothing about it.
fn evaluation(spec: &EvaluationSpec, columns: &ColumnRoles) -> EvaluationSpec {
    let first = columns.entities.first().map(|entity| ClusterRule::Entity(entity.clone()));
    let cluster = spec.intervals.cluster.clone().or(first);
    EvaluationSpec { intervals: IntervalSpec { cluster, ..spec.intervals }, ..spec.clone() }
}

/// Writes out the limits that apply if the profile says nothing about them.
fn leakage_rules(spec: &LeakageSpec) -> LeakageSpec {
    let single_feature = spec.max_single_feature_auc.clone().unwrap_or(AucLimit::SINGLE_FEATURE);
    let windows = spec.max_window_auc.clone().unwrap_or(AucLimit::WINDOWS);
    LeakageSpec { max_single_feature_auc: Some(single_feature), max_window_auc: Some(windows), ..spec.clone() }
}

fn pin<T>(parsed: &Parsed<T>, policy_id: &str, revision: &str) -> PinnedDocument {
    PinnedDocument {
        reference: parsed.reference.clone(),
        sha256: parsed.sha256,
        policy_id: policy_id.to_owned(),
        revision: revision.to_owned(),
    }
}

/// Chooses the seed. `fixed` takes the base seed. `per_run` derives the seed from base seed and run key: two runs have
/// different seeds, and all attempts at one run have the same seed.
fn seed(policy: &SeedPolicy, run_key: &str) -> Result<u64, Failure> {
    match policy.recipe.as_str() {
        "fixed" => Ok(policy.base_seed),
        "per_run" => {
            let digest = recipe_digest("mf.seed.v1", &json!({"base_seed": policy.base_seed, "train_run_key": run_key}));
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&digest.as_bytes()[..8]);
            // XGBoost's own seed is a signed 64-bit integer, so the seed gets 63 bits.
            Ok(u64::from_be_bytes(bytes) >> 1)
        }
        other => {
            let message = format!("seed_policy.recipe must be fixed or per_run, not {other:?}");
            Err(Failure::new(FailureCode::TrainingProfileInvalid, message))
        }
    }
}

pub(super) fn resolve_algorithm(
    profile: &TrainingProfile,
    columns: &ColumnRoles,
    commands: &BTreeMap<String, PinnedCommand>,
) -> Result<ResolvedAlgorithm, Failure> {
    let invalid = |why: String| Failure::new(FailureCode::TrainingProfileInvalid, format!("algorithm: {why}"));
    let algorithm = &profile.algorithm;
    if let Some(name) = algorithm.id.strip_prefix(ResolvedAlgorithm::PROCESS) {
        return resolve_process(profile, columns, name, commands).map(ResolvedAlgorithm::Process).map_err(invalid);
    }
    if algorithm.id != ResolvedAlgorithm::HESSBOOST {
        let id = &algorithm.id;
        return Err(invalid(format!("id {id:?} is not known; this release offers hessboost and process:<name>")));
    }
    let parameters = parameters(&algorithm.parameters, &BTreeMap::new()).map_err(invalid)?;
    let choice = plan_choice(algorithm, &profile.evaluation, columns).map_err(invalid)?;
    let candidates = choice.iter().flat_map(|choice| &choice.candidates);
    let all: Vec<&BoostParameters> = candidates.map(|of| &of.parameters).chain([&parameters]).collect();
    let validated = match &profile.split {
        SplitSpec::TimeBased { validation, .. } => validation.is_some(),
        SplitSpec::StratifiedRandom { validation, .. } => validation.is_some(),
    };
    if all.iter().any(|parameters| parameters.early_stopping_rounds > 0) && !validated {
        return Err(invalid("early_stopping_rounds needs a validation window".to_owned()));
    }
    if choice.is_some() && !validated {
        return Err(invalid("a choice among candidates needs a validation window".to_owned()));
    }
    if all.iter().any(|parameters| parameters.refit) && !profile.evaluation.operating_points.is_empty() {
        let why = "refit learns from the validation window, so that evaluation.operating_points cannot choose thresholds \
                   on it; leave one of the two out";
        return Err(invalid(why.to_owned()));
    }
    let mut named = all.iter().flat_map(|parameters| parameters.interaction_constraints.iter().flatten());
    if let Some(name) = named.find(|name| profile.features.iter().all(|feature| feature.name != **name)) {
        return Err(invalid(format!("interaction_constraints names {name:?}, which is not among the features")));
    }
    Ok(ResolvedAlgorithm::BuiltIn(BuiltInAlgorithm { id: algorithm.id.clone(), parameters, choice }))
}

/// The columns that Model Factory itself writes into a command's files. No feature may have one of these names.
const COLUMNS_OF_OURS: [&str; 3] = ["row_id", "event_time", "label"];
/// One more such column, where the data has weights.
const WEIGHT: &str = "weight";

fn resolve_process(
    profile: &TrainingProfile,
    columns: &ColumnRoles,
    name: &str,
    commands: &BTreeMap<String, PinnedCommand>,
) -> Result<ProcessAlgorithm, String> {
    let Some(command) = commands.get(name) else {
        return Err(format!("no trainer command {name:?} is registered with this worker, or its program is not there"));
    };
    let is_ours = |name: &str| COLUMNS_OF_OURS.contains(&name) || (name == WEIGHT && columns.weight.is_some());
    if let Some(feature) = profile.features.iter().find(|feature| is_ours(&feature.name)) {
        return Err(format!("a trainer command cannot be given a feature by the name {:?}", feature.name));
    }
    if !profile.algorithm.candidates.is_empty() || profile.algorithm.search.is_some() {
        return Err(
            "candidates and search are for the built-in booster; a trainer command searches by itself".to_owned()
        );
    }
    if profile.leakage.shuffled_label_canary.is_some() {
        return Err("leakage.shuffled_label_canary fits the built-in booster; a trainer command has none".to_owned());
    }
    Ok(ProcessAlgorithm {
        id: profile.algorithm.id.clone(),
        parameters: profile.algorithm.parameters.clone(),
        command: command.clone(),
    })
}
