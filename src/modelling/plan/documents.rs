//! Reads the documents that a plan is made from, as the worker fetched them. Each is checked against its schema and
//! against the request.

use crate::domain::contract::{
    DatasetManifest, FeatureKind, GovernanceProfile, PinnedCommand, SchemaName, TrainBuildRequest, TrainingProfile,
    read_json, read_yaml,
};
use crate::domain::identity::Digest;
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::gate::Threshold;
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

#[derive(Debug, Clone)]
pub struct Fetched {
    /// The reference that the request or a profile gives for the document.
    pub reference: String,
    pub bytes: Vec<u8>,
    pub sha256: Digest,
}

impl Fetched {
    /// Builds the failure of a run whose document cannot be used. The message begins with the document's reference.
    pub(super) fn invalid(&self, code: FailureCode, why: impl Display) -> Failure {
        Failure::new(code, format!("{}: {why}", self.reference))
    }
}

/// The documents of an earlier bundle that the plan needs. The bundle's model is fetched later, after the plan is made.
#[derive(Debug, Clone)]
pub struct FetchedBundle {
    pub manifest: Fetched,
    pub eval_report: Fetched,
}

#[derive(Debug, Clone)]
pub struct Sources<'a> {
    /// The request that created the run. Later requests may have joined the run.
    pub request: &'a TrainBuildRequest,
    /// The dataset manifests, sorted by reference. No reference occurs twice.
    pub manifests: &'a [Fetched],
    pub training_profile: &'a Fetched,
    pub governance_profile: &'a Fetched,
    pub ownership_boundaries_sha256: Digest,
    /// The registered commands: name to digests of the program and its scripts.
    pub commands: &'a BTreeMap<String, PinnedCommand>,
    /// The bundle that a regression check measures. `None` for other intents.
    pub baseline: Option<&'a FetchedBundle>,
    /// The bundle that a new model is compared with. `None` if the governance profile names no champion.
    pub champion: Option<&'a FetchedBundle>,
    /// When the attempt started. Labels as of a later instant are an error, since nobody can know them yet.
    pub started_at: DateTime<Utc>,
}

pub(super) fn read_manifests<'a>(sources: &Sources<'a>) -> Result<Vec<(&'a Fetched, DatasetManifest)>, Failure> {
    let mut manifests = Vec::with_capacity(sources.manifests.len());
    let mut fingerprints: BTreeMap<String, String> = BTreeMap::new();
    for fetched in sources.manifests {
        let reference = &fetched.reference;
        let manifest: DatasetManifest = read_json(SchemaName::DatasetManifest, &fetched.bytes)
            .map_err(|error| fetched.invalid(FailureCode::ManifestInvalid, error))?;
        let (found, read) = (&manifest.schema_version, DatasetManifest::SCHEMA_VERSION);
        if found != read {
            return fail(FailureCode::ManifestInvalid, format!("{reference} is a {found}; this release reads {read}"));
        }
        let expected = &sources.request.platform_run_id;
        if &manifest.platform_run_id != expected {
            let found = &manifest.platform_run_id;
            let message = format!(
                "{reference} belongs to platform run {found:?}, the request to {expected:?}; name manifests of that run"
            );
            return fail(FailureCode::RunScopeInvalid, message);
        }
        let id = &manifest.dataset_manifest_id;
        let known = fingerprints.entry(id.clone()).or_insert_with(|| manifest.dataset_fingerprint.clone());
        if *known != manifest.dataset_fingerprint {
            let message =
                format!("{reference}: manifest {id:?} comes with two fingerprints; other data needs an id of its own");
            return fail(FailureCode::ManifestInvalid, message);
        }
        manifests.push((fetched, manifest));
    }
    if manifests.is_empty() {
        return fail(FailureCode::ManifestRefMissing, "the request names no manifest");
    }
    Ok(manifests)
}

pub(super) fn parse_training_profile(fetched: &Fetched) -> Result<TrainingProfile, Failure> {
    read_yaml(SchemaName::TrainingProfile, &fetched.bytes)
        .map_err(|error| fetched.invalid(FailureCode::TrainingProfileInvalid, error))
}

pub(super) fn parse_governance_profile(fetched: &Fetched) -> Result<GovernanceProfile, Failure> {
    read_yaml(SchemaName::GovernanceProfile, &fetched.bytes)
        .map_err(|error| fetched.invalid(FailureCode::GovernanceProfileInvalid, error))
}

pub(super) fn read_training_profile(fetched: &Fetched) -> Result<TrainingProfile, Failure> {
    let invalid = |why: String| fetched.invalid(FailureCode::TrainingProfileInvalid, why);
    let profile = parse_training_profile(fetched)?;
    let mut names = BTreeSet::new();
    for feature in &profile.features {
        if !names.insert(&feature.name) {
            return Err(invalid(format!("feature {:?} is listed twice", feature.name)));
        }
        if feature.kind == FeatureKind::Categorical && feature.monotone.is_some() {
            let name = &feature.name;
            let why = format!("feature {name:?} is categorical: its values have no order to be monotone in");
            return Err(invalid(why));
        }
    }
    Ok(profile)
}

pub(super) fn read_governance_profile(fetched: &Fetched) -> Result<GovernanceProfile, Failure> {
    let invalid = |why: String| fetched.invalid(FailureCode::GovernanceProfileInvalid, why);
    let profile = parse_governance_profile(fetched)?;
    if !profile.controls.require_pass_gate {
        return Err(invalid("controls.require_pass_gate must be true: nothing is published without a PASS".to_owned()));
    }
    Threshold::all_of(&profile).map_err(invalid)?;
    profile.champion.as_ref().map(Threshold::of_differences).transpose().map_err(invalid)?;
    Ok(profile)
}

pub(super) fn fail<T>(code: FailureCode, message: impl AsRef<str>) -> Result<T, Failure> {
    Err(Failure::new(code, message))
}
