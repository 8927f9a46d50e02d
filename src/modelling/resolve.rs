//! From references to a plan: every check that needs no rows.

use super::boundaries::plan_split;
use super::earlier::{EarlierRole, FetchedBundle, pin_bundle};
use super::measurable::measurable;
use super::thresholds::Threshold;
use crate::domain::contract::{
    self, BoostParameters, BuiltInAlgorithm, DatasetManifest, ExpectedLabels, FeatureKind, GovernanceProfile,
    LeakageSpec, PinnedBundle, PinnedCommand, PinnedDocument, PinnedFile, PinnedManifest, PlannedChampion,
    ProcessAlgorithm, ResolvedAlgorithm, Revisions, SchemaName, SeedPolicy, SplitSpec, TrainBuildRequest, TrainPlan,
    TrainingProfile,
};
use crate::domain::identity::{Digest, recipe_digest};
use crate::domain::run::{Failure, FailureCode};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A document as it was fetched.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// As the request names it.
    pub reference: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Digest of these bytes.
    pub sha256: Digest,
}

/// Everything that a plan is made of.
#[derive(Debug, Clone)]
pub struct Sources<'a> {
    /// The first request of the run.
    pub request: &'a TrainBuildRequest,
    /// Its manifests, sorted by reference, without repeats.
    pub manifests: &'a [Fetched],
    /// Its training profile.
    pub training_profile: &'a Fetched,
    /// Its governance profile.
    pub governance_profile: &'a Fetched,
    /// Digest of the ownership boundaries.
    pub ownership_boundaries_sha256: Digest,
    /// The operator's trainer commands, by name.
    pub commands: &'a BTreeMap<String, PinnedCommand>,
    /// The bundle that a regression check measures, if it is one.
    pub baseline: Option<&'a FetchedBundle>,
    /// The champion, where the governance profile names one.
    pub champion: Option<&'a FetchedBundle>,
    /// When the attempt started: labels as of a later instant cannot be true.
    pub started_at: DateTime<Utc>,
}

fn fail<T>(code: FailureCode, message: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::new(code, message))
}

/// Makes the plan, or says what does not fit together.
pub fn resolve(sources: &Sources<'_>) -> Result<TrainPlan, Failure> {
    let request = sources.request;
    let manifests = read_manifests(sources)?;
    let profile = read_training_profile(sources.training_profile)?;
    let governance = read_governance_profile(sources.governance_profile)?;
    check_feature_sets(&manifests, &profile)?;
    let first = &manifests[0].1;
    check_labels(&manifests, profile.expected_label_basis.as_ref(), sources.started_at)?;
    check_leakage(&profile.leakage, &manifests)?;
    let files = pin_files(&manifests)?;
    let columns = &first.materializations[0].columns;
    measurable(&profile.evaluation, &profile.features, columns).map_err(|error| {
        let place = &sources.training_profile.reference;
        Failure::new(FailureCode::TrainingProfileInvalid, format!("{place}: {error}"))
    })?;
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
            .map(|(fetched, manifest)| PinnedManifest {
                reference: fetched.reference.clone(),
                sha256: fetched.sha256,
                dataset_manifest_id: manifest.dataset_manifest_id.clone(),
                dataset_fingerprint: manifest.dataset_fingerprint.clone(),
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
        split: plan_split(&profile.split, &first.materializations[0].columns, &first.label_basis)?,
        seed: seed(&profile.seed_policy, &run_key.to_string())?,
        algorithm: resolve_algorithm(&profile, sources.commands)?,
        leakage: profile.leakage.clone(),
        evaluation: profile.evaluation.clone(),
        limits: profile.limits.clone(),
        baseline: plan_baseline(sources, &profile)?,
        champion: plan_champion(sources, &profile, &governance)?,
        revisions: Revisions {
            policy_revision: request.policy_revision.clone(),
            config_revision: request.config_revision.clone(),
            mf_code_release_id: request.mf_code_release_id.clone(),
        },
    })
}

fn plan_baseline(sources: &Sources<'_>, profile: &TrainingProfile) -> Result<Option<PinnedBundle>, Failure> {
    match (sources.request.intent_kind.trains(), sources.baseline) {
        (true, _) => Ok(None),
        (false, Some(fetched)) => pin_bundle(EarlierRole::Baseline, fetched, profile).map(Some),
        (false, None) => fail(EarlierRole::Baseline.unusable(), "there is no bundle to measure"),
    }
}

fn plan_champion(
    sources: &Sources<'_>,
    profile: &TrainingProfile,
    governance: &GovernanceProfile,
) -> Result<Option<PlannedChampion>, Failure> {
    let Some(spec) = &governance.champion else { return Ok(None) };
    let Some(fetched) = sources.champion else {
        return fail(EarlierRole::Champion.unusable(), "there is no champion to compare with");
    };
    let thresholds =
        Threshold::of_differences(spec).map_err(|why| Failure::new(EarlierRole::Champion.unusable(), why))?;
    let mut metrics: Vec<String> = Vec::with_capacity(thresholds.len());
    for threshold in thresholds {
        if !metrics.contains(&threshold.metric) {
            metrics.push(threshold.metric);
        }
    }
    let bundle = pin_bundle(EarlierRole::Champion, fetched, profile)?;
    Ok(Some(PlannedChampion { bundle, metrics, confidence: spec.confidence }))
}

fn pin(fetched: &Fetched, policy_id: &str, revision: &str) -> PinnedDocument {
    PinnedDocument {
        reference: fetched.reference.clone(),
        sha256: fetched.sha256,
        policy_id: policy_id.to_owned(),
        revision: revision.to_owned(),
    }
}

fn read_manifests<'a>(sources: &Sources<'a>) -> Result<Vec<(&'a Fetched, DatasetManifest)>, Failure> {
    let mut manifests = Vec::with_capacity(sources.manifests.len());
    let mut fingerprints: BTreeMap<String, String> = BTreeMap::new();
    for fetched in sources.manifests {
        let place = &fetched.reference;
        let manifest: DatasetManifest = contract::read_json(SchemaName::DatasetManifest, &fetched.bytes)
            .map_err(|error| Failure::new(FailureCode::ManifestInvalid, format!("{place}: {error}")))?;
        let (found, read) = (&manifest.schema_version, DatasetManifest::SCHEMA_VERSION);
        if found != read {
            return fail(FailureCode::ManifestInvalid, format!("{place} is a {found}; this release reads {read}"));
        }
        let expected = &sources.request.platform_run_id;
        if &manifest.platform_run_id != expected {
            let found = &manifest.platform_run_id;
            return fail(
                FailureCode::RunScopeInvalid,
                format!(
                    "{place} belongs to platform run {found:?}, the request to {expected:?}; name manifests of that run"
                ),
            );
        }
        let id = &manifest.dataset_manifest_id;
        let known = fingerprints.entry(id.clone()).or_insert_with(|| manifest.dataset_fingerprint.clone());
        if *known != manifest.dataset_fingerprint {
            return fail(
                FailureCode::ManifestInvalid,
                format!("{place}: manifest {id:?} comes with two fingerprints; other data needs an id of its own"),
            );
        }
        manifests.push((fetched, manifest));
    }
    if manifests.is_empty() {
        return fail(FailureCode::ManifestRefMissing, "the request names no manifest");
    }
    Ok(manifests)
}

fn read_training_profile(fetched: &Fetched) -> Result<TrainingProfile, Failure> {
    let invalid =
        |why: String| Failure::new(FailureCode::TrainingProfileInvalid, format!("{}: {why}", fetched.reference));
    let profile: TrainingProfile =
        contract::read_yaml(SchemaName::TrainingProfile, &fetched.bytes).map_err(|error| invalid(error.to_string()))?;
    let mut names = BTreeSet::new();
    for feature in &profile.features {
        if !names.insert(&feature.name) {
            return Err(invalid(format!("feature {:?} is listed twice", feature.name)));
        }
        if feature.kind == FeatureKind::Categorical && feature.monotone.is_some() {
            let name = &feature.name;
            return Err(invalid(format!(
                "feature {name:?} is categorical: its values have no order to be monotone in"
            )));
        }
    }
    Ok(profile)
}

fn read_governance_profile(fetched: &Fetched) -> Result<GovernanceProfile, Failure> {
    let invalid =
        |why: String| Failure::new(FailureCode::GovernanceProfileInvalid, format!("{}: {why}", fetched.reference));
    let profile: GovernanceProfile = contract::read_yaml(SchemaName::GovernanceProfile, &fetched.bytes)
        .map_err(|error| invalid(error.to_string()))?;
    if !profile.controls.require_pass_gate {
        return Err(invalid("controls.require_pass_gate must be true: nothing is published without a PASS".to_owned()));
    }
    Threshold::all_of(&profile).map_err(invalid)?;
    profile.champion.as_ref().map(Threshold::of_differences).transpose().map_err(invalid)?;
    Ok(profile)
}

fn check_feature_sets(manifests: &[(&Fetched, DatasetManifest)], profile: &TrainingProfile) -> Result<(), Failure> {
    for (fetched, manifest) in manifests {
        let place = &fetched.reference;
        let (found, expected) = (&manifest.feature_definition_set, &profile.feature_definition_set);
        if found != expected {
            return fail(
                FailureCode::FeatureSchemaIncompatible,
                format!(
                    "{place} holds feature set {} {}, the training profile expects {} {}",
                    found.feature_set_id,
                    found.feature_set_version,
                    expected.feature_set_id,
                    expected.feature_set_version
                ),
            );
        }
        let (found, expected) = (&manifest.schema_version, &profile.expected_manifest_schema_version);
        if found != expected {
            return fail(
                FailureCode::FeatureSchemaIncompatible,
                format!("{place} is a {found}, the training profile expects {expected}"),
            );
        }
    }
    Ok(())
}

fn check_labels(
    manifests: &[(&Fetched, DatasetManifest)],
    expected: Option<&ExpectedLabels>,
    started_at: DateTime<Utc>,
) -> Result<(), Failure> {
    let (first_place, first) = (&manifests[0].0.reference, &manifests[0].1.label_basis);
    for (fetched, manifest) in manifests {
        let place = &fetched.reference;
        if &manifest.label_basis != first {
            return fail(
                FailureCode::ManifestInvalid,
                format!("{place} and {first_place} disagree about label_basis; labels must be of one instant and rule"),
            );
        }
        if manifest.label_basis.label_asof_utc > started_at {
            return fail(
                FailureCode::ManifestInvalid,
                format!(
                    "{place}: label_asof_utc {} lies after the start of the run; nobody can know these labels yet",
                    manifest.label_basis.label_asof_utc
                ),
            );
        }
        if let Some((field, found, wanted)) = expected.and_then(|labels| labels.disagreement(&manifest.label_basis)) {
            return fail(
                FailureCode::FeatureSchemaIncompatible,
                format!(
                    "{place}: label_basis has {field} {found}, the training profile expects {wanted}; use a manifest \
                     or a profile that fits"
                ),
            );
        }
    }
    Ok(())
}

/// What the leakage rules name must be there to be looked at.
fn check_leakage(spec: &LeakageSpec, manifests: &[(&Fetched, DatasetManifest)]) -> Result<(), Failure> {
    let files = manifests.iter().flat_map(|(_, manifest)| &manifest.materializations);
    for file in files {
        if let Some(name) = spec.disjoint_entities.iter().find(|name| !file.columns.entities.contains(name)) {
            return fail(
                FailureCode::FeatureSchemaIncompatible,
                format!("leakage: disjoint_entities names {name:?}, which is no entity column of the manifest"),
            );
        }
    }
    Ok(())
}

fn pin_files(manifests: &[(&Fetched, DatasetManifest)]) -> Result<Vec<PinnedFile>, Failure> {
    let mut files: Vec<PinnedFile> = Vec::new();
    let mut columns = None;
    for (fetched, manifest) in manifests {
        let place = &fetched.reference;
        if manifest.materializations.is_empty() {
            return fail(
                FailureCode::MaterializationUnresolved,
                format!("{place} names no materializations, so there is nothing to train on"),
            );
        }
        for file in &manifest.materializations {
            if *columns.get_or_insert(&file.columns) != &file.columns {
                return fail(
                    FailureCode::ManifestInvalid,
                    format!("{place}: {} gives columns other roles than the files before it", file.reference),
                );
            }
            if files.iter().any(|known| known.sha256 == file.sha256) {
                return fail(
                    FailureCode::ManifestInvalid,
                    format!("{place}: {} has the same content as another file of this run", file.reference),
                );
            }
            files.push(PinnedFile {
                reference: file.reference.clone(),
                sha256: file.sha256,
                bytes: file.bytes,
                rows: file.rows,
            });
        }
    }
    Ok(files)
}

/// `fixed` takes the base seed; `per_run` derives one from base seed and run key, so that two runs
/// differ and the same run does not.
fn seed(policy: &SeedPolicy, run_key: &str) -> Result<u64, Failure> {
    match policy.recipe.as_str() {
        "fixed" => Ok(policy.base_seed),
        "per_run" => {
            let digest = recipe_digest("mf.seed.v1", &json!({"base_seed": policy.base_seed, "train_run_key": run_key}));
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&digest.as_bytes()[..8]);
            // XGBoost's own seed parameter is a signed 64-bit integer.
            Ok(u64::from_be_bytes(bytes) >> 1)
        }
        other => fail(
            FailureCode::TrainingProfileInvalid,
            format!("seed_policy.recipe must be fixed or per_run, not {other:?}"),
        ),
    }
}

fn resolve_algorithm(
    profile: &TrainingProfile,
    commands: &BTreeMap<String, PinnedCommand>,
) -> Result<ResolvedAlgorithm, Failure> {
    let invalid = |why: String| Failure::new(FailureCode::TrainingProfileInvalid, format!("algorithm: {why}"));
    let algorithm = &profile.algorithm;
    if let Some(name) = algorithm.id.strip_prefix(ResolvedAlgorithm::PROCESS) {
        return resolve_process(profile, name, commands).map(ResolvedAlgorithm::Process).map_err(invalid);
    }
    if algorithm.id != ResolvedAlgorithm::HESSBOOST {
        let id = &algorithm.id;
        return Err(invalid(format!("id {id:?} is not known; this release offers hessboost and process:<name>")));
    }
    let named = Value::Object(algorithm.parameters.iter().map(|(name, value)| (name.clone(), value.clone())).collect());
    let parameters: BoostParameters =
        serde_json::from_value(named).map_err(|error| invalid(format!("parameters: {error}")))?;
    parameters.check().map_err(invalid)?;
    let validated = match &profile.split {
        SplitSpec::TimeBased { validation, .. } => validation.is_some(),
        SplitSpec::StratifiedRandom { validation, .. } => validation.is_some(),
    };
    if parameters.early_stopping_rounds > 0 && !validated {
        return Err(invalid("early_stopping_rounds needs a validation window".to_owned()));
    }
    Ok(ResolvedAlgorithm::BuiltIn(BuiltInAlgorithm { id: algorithm.id.clone(), parameters }))
}

/// Columns of the files that a command is given, besides the features.
const COLUMNS_OF_OURS: [&str; 3] = ["row_id", "event_time", "label"];

fn resolve_process(
    profile: &TrainingProfile,
    name: &str,
    commands: &BTreeMap<String, PinnedCommand>,
) -> Result<ProcessAlgorithm, String> {
    let Some(command) = commands.get(name) else {
        return Err(format!("no trainer command {name:?} is registered with this worker, or its program is not there"));
    };
    if let Some(feature) = profile.features.iter().find(|feature| COLUMNS_OF_OURS.contains(&feature.name.as_str())) {
        return Err(format!("a trainer command cannot be given a feature by the name {:?}", feature.name));
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
