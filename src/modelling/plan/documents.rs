//! Reads the documents that a plan is made from, as the worker fetched them. Each is checked against its schema and
//! against the request.
//!
//! [`Fetched`] holds bytes that are not yet checked against a schema. Each `parse_…` turns one document into
//! [`Parsed`]. Time and memory grow with the size of the document, so callers bound the size, parse on threads apart
//! from the loops, and may stop between two documents. All later steps work on parsed documents only.

use crate::domain::contract::{
    BundleManifest, DatasetManifest, EvalReport, FeatureKind, GovernanceProfile, PinnedCommand, SchemaName,
    TrainBuildRequest, TrainingProfile, read_foreign_json, read_foreign_yaml,
};
use crate::domain::identity::Digest;
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::gate::{Threshold, check_slice_conditions};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

#[derive(Debug, Clone)]
pub struct Fetched {
    /// The reference that the request, a profile or a bundle gives for the document.
    pub reference: String,
    pub bytes: Bytes,
    pub sha256: Digest,
}

impl Fetched {
    pub(super) fn parsed<T, E: Display>(
        &self,
        code: FailureCode,
        read: impl FnOnce(&[u8]) -> Result<T, E>,
    ) -> Result<Parsed<T>, Failure> {
        let content = read(&self.bytes).map_err(|error| Failure::new(code, format!("{}: {error}", self.reference)))?;
        Ok(Parsed { reference: self.reference.clone(), sha256: self.sha256, content })
    }
}

/// A document that matches its schema.
#[derive(Debug, Clone)]
pub struct Parsed<T> {
    /// The reference that the request, a profile or a bundle gives for the document.
    pub reference: String,
    /// The digest of the bytes that were parsed.
    pub sha256: Digest,
    pub content: T,
}

impl<T> Parsed<T> {
    /// Builds the failure of a run whose document cannot be used. The message begins with the document's reference.
    pub(super) fn invalid(&self, code: FailureCode, why: impl Display) -> Failure {
        Failure::new(code, format!("{}: {why}", self.reference))
    }
}

/// The documents of an earlier bundle that the plan needs. The bundle's model is fetched later, after the plan is made.
#[derive(Debug, Clone)]
pub struct EarlierDocuments {
    pub manifest: Parsed<BundleManifest>,
    pub eval_report: Parsed<EvalReport>,
}

#[derive(Debug, Clone)]
pub struct Sources<'a> {
    /// The request that created the run. Later requests may have joined the run.
    pub request: &'a TrainBuildRequest,
    /// The dataset manifests, sorted by reference. No reference occurs twice.
    pub manifests: &'a [Parsed<DatasetManifest>],
    pub training_profile: &'a Parsed<TrainingProfile>,
    pub governance_profile: &'a Parsed<GovernanceProfile>,
    pub ownership_boundaries_sha256: Digest,
    /// Digests of each registered command's program and scripts, by the command's name.
    pub commands: &'a BTreeMap<String, PinnedCommand>,
    /// The bundle that a regression check measures. `None` for other intents.
    pub baseline: Option<&'a EarlierDocuments>,
    /// The bundle that a new model is compared with. `None` if the governance profile names no champion.
    pub champion: Option<&'a EarlierDocuments>,
    /// When the attempt started. Labels as of a later instant are an error, since nobody can know them yet.
    pub started_at: DateTime<Utc>,
}

pub fn parse_manifest(fetched: &Fetched) -> Result<Parsed<DatasetManifest>, Failure> {
    fetched.parsed(FailureCode::ManifestInvalid, |bytes| read_foreign_json(SchemaName::DatasetManifest, bytes))
}

pub fn parse_training_profile(fetched: &Fetched) -> Result<Parsed<TrainingProfile>, Failure> {
    fetched.parsed(FailureCode::TrainingProfileInvalid, |bytes| read_foreign_yaml(SchemaName::TrainingProfile, bytes))
}

pub fn parse_governance_profile(fetched: &Fetched) -> Result<Parsed<GovernanceProfile>, Failure> {
    fetched
        .parsed(FailureCode::GovernanceProfileInvalid, |bytes| read_foreign_yaml(SchemaName::GovernanceProfile, bytes))
}

/// Checks that the manifests belong to the request, and that no two of them give one id to different data.
pub(super) fn check_manifests(sources: &Sources<'_>) -> Result<(), Failure> {
    let mut fingerprints: BTreeMap<&str, &str> = BTreeMap::new();
    for parsed in sources.manifests {
        let (reference, manifest) = (&parsed.reference, &parsed.content);
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
        let known = *fingerprints.entry(id).or_insert(&manifest.dataset_fingerprint);
        if known != manifest.dataset_fingerprint {
            let message =
                format!("{reference}: manifest {id:?} comes with two fingerprints; other data needs an id of its own");
            return fail(FailureCode::ManifestInvalid, message);
        }
    }
    if sources.manifests.is_empty() {
        return fail(FailureCode::ManifestRefMissing, "the request names no manifest");
    }
    Ok(())
}

/// The characters that XGBoost's Python package allows in no name of a feature.
const REFUSED_BY_XGBOOST: [char; 3] = ['[', ']', '<'];

/// Checks what the training profile's schema cannot say.
pub(super) fn check_training_profile(parsed: &Parsed<TrainingProfile>) -> Result<(), Failure> {
    let invalid = |why: String| parsed.invalid(FailureCode::TrainingProfileInvalid, why);
    let mut names = BTreeSet::new();
    for feature in &parsed.content.features {
        if !names.insert(&feature.name) {
            return Err(invalid(format!("feature {:?} is listed twice", feature.name)));
        }
        if feature.name.contains(REFUSED_BY_XGBOOST) {
            let name = &feature.name;
            let why = "no data frame could be scored with the model; rename the column";
            return Err(invalid(format!("feature {name:?}: XGBoost refuses names with [, ] or <, so that {why}")));
        }
        if feature.kind == FeatureKind::Categorical && feature.monotone.is_some() {
            let name = &feature.name;
            let why = format!("feature {name:?} is categorical: its values have no order to be monotone in");
            return Err(invalid(why));
        }
    }
    Ok(())
}

/// Checks what the governance profile's schema cannot say.
pub(super) fn check_governance_profile(parsed: &Parsed<GovernanceProfile>) -> Result<(), Failure> {
    let invalid = |why: String| parsed.invalid(FailureCode::GovernanceProfileInvalid, why);
    let profile = &parsed.content;
    if !profile.controls.require_pass_gate {
        return Err(invalid("controls.require_pass_gate must be true: nothing is published without a PASS".to_owned()));
    }
    Threshold::all_of(profile).map_err(invalid)?;
    check_slice_conditions(profile).map_err(invalid)?;
    profile.champion.as_ref().map(Threshold::of_differences).transpose().map_err(invalid)?;
    Ok(())
}

pub(super) fn fail<T>(code: FailureCode, message: impl AsRef<str>) -> Result<T, Failure> {
    Err(Failure::new(code, message))
}
