//! Reads manifests and profiles: each against its schema, and against the request.

use super::fail::fail;
use super::sources::{Fetched, Sources};
use crate::domain::contract::{
    DatasetManifest, FeatureKind, GovernanceProfile, SchemaName, TrainingProfile, read_json, read_yaml,
};
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::gate::Threshold;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn read_manifests<'a>(sources: &Sources<'a>) -> Result<Vec<(&'a Fetched, DatasetManifest)>, Failure> {
    let mut manifests = Vec::with_capacity(sources.manifests.len());
    let mut fingerprints: BTreeMap<String, String> = BTreeMap::new();
    for fetched in sources.manifests {
        let reference = &fetched.reference;
        let manifest: DatasetManifest = read_json(SchemaName::DatasetManifest, &fetched.bytes)
            .map_err(|error| Failure::new(FailureCode::ManifestInvalid, format!("{reference}: {error}")))?;
        let (found, read) = (&manifest.schema_version, DatasetManifest::SCHEMA_VERSION);
        if found != read {
            return fail(FailureCode::ManifestInvalid, format!("{reference} is a {found}; this release reads {read}"));
        }
        let expected = &sources.request.platform_run_id;
        if &manifest.platform_run_id != expected {
            let found = &manifest.platform_run_id;
            return fail(
                FailureCode::RunScopeInvalid,
                format!(
                    "{reference} belongs to platform run {found:?}, the request to {expected:?}; name manifests of that run"
                ),
            );
        }
        let id = &manifest.dataset_manifest_id;
        let known = fingerprints.entry(id.clone()).or_insert_with(|| manifest.dataset_fingerprint.clone());
        if *known != manifest.dataset_fingerprint {
            return fail(
                FailureCode::ManifestInvalid,
                format!("{reference}: manifest {id:?} comes with two fingerprints; other data needs an id of its own"),
            );
        }
        manifests.push((fetched, manifest));
    }
    if manifests.is_empty() {
        return fail(FailureCode::ManifestRefMissing, "the request names no manifest");
    }
    Ok(manifests)
}

pub(super) fn read_training_profile(fetched: &Fetched) -> Result<TrainingProfile, Failure> {
    let invalid =
        |why: String| Failure::new(FailureCode::TrainingProfileInvalid, format!("{}: {why}", fetched.reference));
    let profile: TrainingProfile =
        read_yaml(SchemaName::TrainingProfile, &fetched.bytes).map_err(|error| invalid(error.to_string()))?;
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

pub(super) fn read_governance_profile(fetched: &Fetched) -> Result<GovernanceProfile, Failure> {
    let invalid =
        |why: String| Failure::new(FailureCode::GovernanceProfileInvalid, format!("{}: {why}", fetched.reference));
    let profile: GovernanceProfile =
        read_yaml(SchemaName::GovernanceProfile, &fetched.bytes).map_err(|error| invalid(error.to_string()))?;
    if !profile.controls.require_pass_gate {
        return Err(invalid("controls.require_pass_gate must be true: nothing is published without a PASS".to_owned()));
    }
    Threshold::all_of(&profile).map_err(invalid)?;
    profile.champion.as_ref().map(Threshold::of_differences).transpose().map_err(invalid)?;
    Ok(profile)
}
