//! Checks that manifests agree with each other and with the training profile on features, labels and columns, and lists
//! their data files.

use super::documents::{Parsed, fail};
use crate::domain::contract::{DatasetManifest, ExpectedLabels, LeakageSpec, PinnedFile, TrainingProfile};
use crate::domain::run::{Failure, FailureCode};
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;

pub(super) fn check_feature_sets(
    manifests: &[Parsed<DatasetManifest>],
    profile: &TrainingProfile,
) -> Result<(), Failure> {
    for parsed in manifests {
        let (reference, manifest) = (&parsed.reference, &parsed.content);
        let (found, expected) = (&manifest.feature_definition_set, &profile.feature_definition_set);
        if found != expected {
            let message = format!(
                "{reference} holds feature set {} {}, the training profile expects {} {}",
                found.feature_set_id, found.feature_set_version, expected.feature_set_id, expected.feature_set_version
            );
            return fail(FailureCode::FeatureSchemaIncompatible, message);
        }
        let (found, expected) = (&manifest.schema_version, &profile.expected_manifest_schema_version);
        if found != expected {
            let message = format!("{reference} is a {found}, the training profile expects {expected}");
            return fail(FailureCode::FeatureSchemaIncompatible, message);
        }
    }
    Ok(())
}

pub(super) fn check_labels(
    manifests: &[Parsed<DatasetManifest>],
    expected: Option<&ExpectedLabels>,
    started_at: DateTime<Utc>,
) -> Result<(), Failure> {
    let (first_reference, first) = (&manifests[0].reference, &manifests[0].content.label_basis);
    for parsed in manifests {
        let (reference, manifest) = (&parsed.reference, &parsed.content);
        if &manifest.label_basis != first {
            let message = format!(
                "{reference} and {first_reference} disagree about label_basis; labels must be of one instant and rule"
            );
            return fail(FailureCode::ManifestInvalid, message);
        }
        if manifest.label_basis.label_asof_utc > started_at {
            let message = format!(
                "{reference}: label_asof_utc {} lies after the start of the run; nobody can know these labels yet",
                manifest.label_basis.label_asof_utc
            );
            return fail(FailureCode::ManifestInvalid, message);
        }
        if let Some((field, found, wanted)) = expected.and_then(|labels| labels.disagreement(&manifest.label_basis)) {
            let message = format!(
                "{reference}: label_basis has {field} {found}, the training profile expects {wanted}; use a manifest \
                 or a profile that fits"
            );
            return fail(FailureCode::FeatureSchemaIncompatible, message);
        }
    }
    Ok(())
}

/// Returns a failure if a leakage rule names an entity that is not an entity column of every file.
pub(super) fn check_leakage(spec: &LeakageSpec, manifests: &[Parsed<DatasetManifest>]) -> Result<(), Failure> {
    for file in manifests.iter().flat_map(|parsed| &parsed.content.materializations) {
        if let Some(name) = spec.disjoint_entities.iter().find(|name| !file.columns.entities.contains(name)) {
            let message =
                format!("leakage: disjoint_entities names {name:?}, which is no entity column of the manifest");
            return fail(FailureCode::FeatureSchemaIncompatible, message);
        }
    }
    Ok(())
}

/// Upper bound on the data files of one run, over all its manifests. The plan lists each, and a trainer opens each.
const MAX_FILES: usize = 10_000;

pub(super) fn pin_files(manifests: &[Parsed<DatasetManifest>]) -> Result<Vec<PinnedFile>, Failure> {
    let mut files: Vec<PinnedFile> = Vec::new();
    let mut columns = None;
    let mut contents = BTreeSet::new();
    for parsed in manifests {
        let (reference, manifest) = (&parsed.reference, &parsed.content);
        if manifest.materializations.is_empty() {
            let message = format!("{reference} names no materializations, so there is nothing to train on");
            return fail(FailureCode::MaterializationUnresolved, message);
        }
        for file in &manifest.materializations {
            if *columns.get_or_insert(&file.columns) != &file.columns {
                let why = format!("{} gives columns other roles than the files before it", file.reference);
                return Err(parsed.invalid(FailureCode::ManifestInvalid, why));
            }
            if files.len() == MAX_FILES {
                let why = format!("a run reads at most {MAX_FILES} data files, and the manifests name more");
                return Err(parsed.invalid(FailureCode::ManifestInvalid, why));
            }
            if !contents.insert(file.sha256) {
                let why = format!("{} has the same content as another file of this run", file.reference);
                return Err(parsed.invalid(FailureCode::ManifestInvalid, why));
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
