//! Pins bundles of earlier runs in the plan. A regression check measures the baseline bundle. A new model is compared
//! with the champion bundle.
//!
//! Guarantees: a bundle is pinned by the digest of its `bundle.json`, which holds the digests of its other files. A
//! bundle that reads other features than the training profile names ends the run before a row is read.

use super::documents::{EarlierDocuments, Fetched, Parsed, Sources, fail};
use crate::domain::contract::{
    BundleArtifact, BundleManifest, BundleRef, EvalReport, GovernanceProfile, IntentKind, ModelFormat, PinnedBundle,
    PinnedModel, PlannedChampion, Reference, SchemaName, SettledSplit, TrainingProfile, read_foreign_json,
};
use crate::domain::identity::Digest;
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::gate::Threshold;
use chrono::{DateTime, Utc};
use std::collections::HashMap;

/// What a run uses an earlier bundle for. File names and messages contain the variant's name in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "lowercase")]
pub enum EarlierRole {
    /// The bundle that a regression check measures.
    Baseline,
    /// The bundle that a new model is compared with.
    Champion,
}

impl EarlierRole {
    /// Returns the failure code for a bundle that cannot be used. It blames the profile that names the bundle.
    pub fn unusable(self) -> FailureCode {
        match self {
            Self::Baseline => FailureCode::TrainingProfileInvalid,
            Self::Champion => FailureCode::GovernanceProfileInvalid,
        }
    }
}

/// Parses the `bundle.json` of an earlier bundle. A failure blames the profile that names the bundle.
pub fn parse_bundle_manifest(role: EarlierRole, fetched: &Fetched) -> Result<Parsed<BundleManifest>, Failure> {
    let blamed = |why| Failure::new(role.unusable(), format!("the {role}'s bundle {}: {why}", fetched.reference));
    let content = read_foreign_json(SchemaName::Bundle, &fetched.bytes).map_err(blamed)?;
    Ok(Parsed { reference: fetched.reference.clone(), sha256: fetched.sha256, content })
}

/// Parses the evaluation report of an earlier bundle.
pub fn parse_eval_report(fetched: &Fetched) -> Result<Parsed<EvalReport>, Failure> {
    fetched.parsed(FailureCode::EvalReportInvalid, |bytes| read_foreign_json(SchemaName::EvalReport, bytes))
}

/// Returns the bundles that must be fetched before a plan can be made. A regression check needs its baseline, and fails
/// if the training profile names none. Every run needs the champion if the governance profile names a champion.
pub fn named_bundles(
    intent: IntentKind,
    training_profile: &Parsed<TrainingProfile>,
    governance_profile: &Parsed<GovernanceProfile>,
) -> Result<Vec<(EarlierRole, BundleRef)>, Failure> {
    let mut named = Vec::new();
    if !intent.trains() {
        let baseline = training_profile.content.baseline_bundle_ref.clone().ok_or_else(|| {
            let why = format!("{} measures baseline_bundle_ref, and the profile names none", intent.as_str());
            training_profile.invalid(FailureCode::TrainingProfileInvalid, why)
        })?;
        named.push((EarlierRole::Baseline, baseline));
    }
    let champion = governance_profile.content.champion.as_ref();
    named.extend(champion.map(|champion| (EarlierRole::Champion, champion.bundle_ref.clone())));
    Ok(named)
}

/// Returns the reference and the digest of the bundle's evaluation report, as its `bundle.json` says.
pub fn eval_report_of(role: EarlierRole, manifest: &Parsed<BundleManifest>) -> Result<(Reference, Digest), Failure> {
    let file = file_of(role, manifest, "eval_report.json")?;
    Ok((beside(role, manifest, &file.path)?, file.sha256))
}

pub(super) fn plan_baseline(sources: &Sources<'_>, profile: &TrainingProfile) -> Result<Option<PinnedBundle>, Failure> {
    match (sources.request.intent_kind.trains(), sources.baseline) {
        (true, _) => Ok(None),
        (false, Some(documents)) => pin_bundle(EarlierRole::Baseline, documents, profile).map(Some),
        (false, None) => fail(EarlierRole::Baseline.unusable(), "there is no bundle to measure"),
    }
}

pub(super) fn plan_champion(
    sources: &Sources<'_>,
    profile: &TrainingProfile,
    governance: &GovernanceProfile,
) -> Result<Option<PlannedChampion>, Failure> {
    let Some(spec) = &governance.champion else { return Ok(None) };
    let Some(documents) = sources.champion else {
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
    let bundle = pin_bundle(EarlierRole::Champion, documents, profile)?;
    Ok(Some(PlannedChampion { bundle, metrics, confidence: spec.confidence }))
}

/// Pins a bundle. Returns a failure unless its model is in XGBoost's format and its inputs are features of this
/// profile.
fn pin_bundle(
    role: EarlierRole,
    documents: &EarlierDocuments,
    profile: &TrainingProfile,
) -> Result<PinnedBundle, Failure> {
    let (reference, manifest) = (&documents.manifest.reference, &documents.manifest.content);
    let (found, expected) = (&manifest.compatibility, &profile.feature_definition_set);
    let incompatible = |why: String| {
        let message = format!("the {role}'s bundle {reference} {why}");
        Err(Failure::new(FailureCode::FeatureSchemaIncompatible, message))
    };
    if (&found.feature_set_id, &found.feature_set_version) != (&expected.feature_set_id, &expected.feature_set_version)
    {
        return incompatible(format!(
            "reads feature set {} {}, the training profile expects {} {}",
            found.feature_set_id, found.feature_set_version, expected.feature_set_id, expected.feature_set_version
        ));
    }
    let given: HashMap<_, _> = profile.features.iter().map(|feature| (&feature.name, feature.kind)).collect();
    if let Some(input) = manifest.features.iter().find(|input| given.get(&input.name) != Some(&input.kind)) {
        return incompatible(format!("reads {:?}, which the training profile does not name as such", input.name));
    }
    let format = ModelFormat::XgboostJson;
    let model = file_of(role, &documents.manifest, format.file_name())?;
    let report = &documents.eval_report.content;
    if report.run_id != manifest.run_id || report.provenance.model.sha256 != model.sha256 {
        let message = format!("{} is not about the model of {reference}", documents.eval_report.reference);
        return Err(Failure::new(FailureCode::EvalReportMismatch, message));
    }
    Ok(PinnedBundle {
        reference: reference.clone(),
        sha256: documents.manifest.sha256,
        run_id: manifest.run_id.clone(),
        model: PinnedModel {
            reference: beside(role, &documents.manifest, &model.path)?.as_str().to_owned(),
            sha256: model.sha256,
            bytes: model.bytes,
        },
        learned_before: learned_before(&report.metrics.split),
        features: manifest.features.clone(),
    })
}

/// Returns the instant by which all that the model learned was known, labels included: the start of its own test window.
/// Its run was refused otherwise. `None` if the split was not by time.
fn learned_before(split: &SettledSplit) -> Option<DateTime<Utc>> {
    let SettledSplit::TimeBased(windows) = split else { return None };
    Some(windows.test.start)
}

fn unusable(role: EarlierRole, manifest: &Parsed<BundleManifest>, why: &str) -> Failure {
    Failure::new(role.unusable(), format!("the {role}'s bundle {}: {why}", manifest.reference))
}

fn file_of<'a>(
    role: EarlierRole,
    manifest: &'a Parsed<BundleManifest>,
    name: &str,
) -> Result<&'a BundleArtifact, Failure> {
    manifest.content.files.iter().find(|file| file.path == name).ok_or_else(|| {
        let needs = manifest.content.compatibility.required_capabilities.join(", ");
        let why = format!("it has no {name}, and only models in XGBoost's format can be scored; it needs {needs}");
        unusable(role, manifest, &why)
    })
}

/// Returns the reference of a file in the manifest's folder. Returns a failure for a path that leaves this folder.
fn beside(role: EarlierRole, manifest: &Parsed<BundleManifest>, path: &str) -> Result<Reference, Failure> {
    let folder = manifest.reference.rsplit_once('/').map_or("", |(folder, _)| folder);
    let reference = if folder.is_empty() { path.to_owned() } else { format!("{folder}/{path}") };
    Reference::parse(&reference).map_err(|error| unusable(role, manifest, &error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::contract::{TimeWindow, Windows};

    #[test]
    fn a_model_learned_labels_until_its_own_test_window_started_and_not_only_until_its_rows_end() {
        let day = |n: i64| DateTime::from_timestamp(n * 86_400, 0).unwrap();
        let windows = Windows {
            train: TimeWindow { start: day(0), end: day(14) },
            validation: Some(TimeWindow { start: day(14), end: day(21) }),
            test: TimeWindow { start: day(28), end: day(35) },
            delay_days: 7,
            exclude_known_entity: None,
        };
        assert_eq!(learned_before(&SettledSplit::TimeBased(windows)), Some(day(28)));
    }
}
