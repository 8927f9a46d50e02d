//! Checks that the files for other tools (provenance, descriptions, parity vectors, signature) agree with the bundle's
//! own documents. Each check is one [`Link`].

use super::folder::{Folder, Holds, ReadBundle};
use super::link::Link;
use crate::adapters::signing::{self, PublicKey};
use crate::domain::contract::{ParityOrigin, ParityVectors, ResolvedAlgorithm, SchemaName};
use crate::domain::identity::Digest;
use crate::modelling::{
    BOM_FILE, BUILD_TYPE, BUILDER, PROVENANCE_FILE, PROVENANCE_PREDICATE, PROVENANCE_STATEMENT, SIGNATURE_FILE,
    dependencies, external_parameters,
};
use crate::training;
use serde_json::json;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub(super) fn provenance(bundle: &ReadBundle<'_>) -> Holds {
    let link = Link::Provenance;
    let plan = &bundle.plan;
    let said = bundle.json(link, PROVENANCE_FILE)?;
    let types = said["_type"] == PROVENANCE_STATEMENT && said["predicateType"] == PROVENANCE_PREDICATE;
    link.must(types, || "it is no SLSA provenance v1".to_owned())?;
    let subjects = said["subject"].as_array().map_or(&[][..], Vec::as_slice);
    let name = bundle.format.file_name();
    let mut of_model = false;
    for subject in subjects {
        let path = subject["name"].as_str().unwrap_or_default();
        let found = bundle.folder.find(path).map(|bytes| json!(Digest::of(bytes)));
        let same = found.is_some_and(|found| found == subject["digest"]["sha256"]);
        link.must(same, || format!("its subject {path:?} is another file than the bundle's"))?;
        of_model |= path == name;
    }
    link.must(of_model, || format!("{name} is not among its subjects"))?;
    let definition = &said["predicate"]["buildDefinition"];
    let details = &said["predicate"]["runDetails"];
    let parts = [
        ("build type", &definition["buildType"], json!(BUILD_TYPE)),
        ("request", &definition["externalParameters"], external_parameters(plan)),
        ("dependencies", &definition["resolvedDependencies"], json!(dependencies(plan))),
        ("builder", &details["builder"]["id"], json!(BUILDER)),
        (
            "code release",
            &details["builder"]["version"]["mf_code_release_id"],
            json!(plan.revisions.mf_code_release_id),
        ),
        ("run", &details["metadata"]["invocationId"], json!(plan.run_id)),
    ];
    match parts.iter().find(|(_, found, expected)| **found != *expected) {
        Some((what, ..)) => Err(link.broken(format!("its {what} is not the plan's"))),
        None => Ok(format!("{} subjects; request and dependencies as in the plan", subjects.len())),
    }
}

pub(super) fn descriptions(bundle: &ReadBundle<'_>) -> Holds {
    let link = Link::Descriptions;
    let bill = bundle.json(link, BOM_FILE)?;
    let hash = &bill["metadata"]["component"]["hashes"][0]["content"];
    let same = bill["bomFormat"] == "CycloneDX" && *hash == json!(bundle.model_digest);
    link.must(same, || format!("{BOM_FILE} is about another model"))?;
    let text = String::from_utf8_lossy(bundle.folder.get(link, "MLmodel")?);
    let uuid = format!("model_uuid: '{}'", &bundle.model_digest.to_string()[..32]);
    let same = text.contains(&uuid) && text.contains(bundle.format.file_name());
    link.must(same, || "MLmodel is about another model".to_owned())?;
    Ok("bom.json and MLmodel are about this model".to_owned())
}

pub(super) fn parity(bundle: &ReadBundle<'_>) -> Holds {
    let ReadBundle { plan, model, model_digest, .. } = bundle;
    let link = Link::Parity;
    let said: ParityVectors = bundle.folder.document(link, ParityVectors::FILE, SchemaName::ParityVectors)?;
    let about = said.run_id == plan.run_id && said.model_sha256 == *model_digest;
    link.must(about, || format!("the vectors are about the model {} of {}", said.model_sha256, said.run_id))?;
    said.inputs(&plan.features).map_err(|why| link.broken(why))?;
    let count = said.vectors.len();
    match (&plan.algorithm, said.origin) {
        (ResolvedAlgorithm::Process(_), ParityOrigin::Trainer) => {
            Ok(format!("{count} vectors as the registered command scored them; its model is not run here"))
        }
        (ResolvedAlgorithm::BuiltIn(_), ParityOrigin::Model) => {
            // The reader of a model may panic on malformed bytes.
            let scoring = AssertUnwindSafe(|| training::check_parity(model, &plan.features, &said));
            let scored = catch_unwind(scoring).unwrap_or_else(|_| Err("the model made its reader panic".to_owned()));
            scored.map_err(|why| link.broken(why))?;
            Ok(format!("{count} vectors scored again, equal bit for bit"))
        }
        (ResolvedAlgorithm::Process(_), ParityOrigin::Model)
        | (ResolvedAlgorithm::BuiltIn(_), ParityOrigin::Trainer) => {
            Err(link.broken("the vectors come from elsewhere than the plan's algorithm can give them"))
        }
    }
}

pub(super) fn signature(folder: &Folder, expected: Option<&PublicKey>) -> Holds {
    let link = Link::Signature;
    let files = folder.digests();
    match (folder.find(SIGNATURE_FILE), expected) {
        (None, None) => Ok("there is none, and no key was given to check one with".to_owned()),
        (None, Some(_)) => Err(link.broken(format!("there is no {SIGNATURE_FILE}"))),
        (Some(signature), None) => {
            signing::check_files(signature, &files).map_err(|error| link.broken(error))?;
            Ok("it is about these files; who signed was not checked, since no key was given".to_owned())
        }
        (Some(signature), Some(key)) => {
            signing::verify(key, signature, &files).map_err(|error| link.broken(error))?;
            Ok(format!("{} files signed by the key {}", files.len(), key.hint()))
        }
    }
}
