//! Resolves a request into a train plan, with every check that needs no rows.

use super::algorithm::resolve_algorithm;
use super::checks::{check_feature_sets, check_labels, check_leakage, pin_files};
use super::documents::{read_governance_profile, read_manifests, read_training_profile};
use super::earlier::{plan_baseline, plan_champion};
use super::measurable::measurable;
use super::planned_split::plan_split;
use super::sources::{Fetched, Sources};
use crate::domain::contract::{PinnedDocument, PinnedManifest, Revisions, SeedPolicy, TrainPlan};
use crate::domain::identity::recipe_digest;
use crate::domain::run::{Failure, FailureCode};
use serde_json::json;

/// The failure says which documents do not fit together, and why.
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
        let reference = &sources.training_profile.reference;
        Failure::new(FailureCode::TrainingProfileInvalid, format!("{reference}: {error}"))
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

fn pin(fetched: &Fetched, policy_id: &str, revision: &str) -> PinnedDocument {
    PinnedDocument {
        reference: fetched.reference.clone(),
        sha256: fetched.sha256,
        policy_id: policy_id.to_owned(),
        revision: revision.to_owned(),
    }
}

/// `fixed` takes the base seed. `per_run` derives the seed from base seed and run key: two runs differ, the same
/// run does not.
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
        other => Err(Failure::new(
            FailureCode::TrainingProfileInvalid,
            format!("seed_policy.recipe must be fixed or per_run, not {other:?}"),
        )),
    }
}
