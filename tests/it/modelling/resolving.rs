//! Resolving a plan: every check of documents against each other has its code, and names the document.

use crate::support::{Documents, data, document};
use model_factory::domain::contract::TrainPlan;
use model_factory::domain::run::{Failure, FailureCode};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Documents that agree with each other, to be spoiled one at a time. Profiles are written as JSON, which is YAML too.
struct Spoilable {
    manifests: Vec<Value>,
    training: Value,
    governance: Value,
    request: Value,
}

fn parsed(name: &str) -> Value {
    let bytes = std::fs::read(data().folder.join(name)).unwrap();
    serde_saphyr::from_slice(&bytes).unwrap()
}

fn good() -> Spoilable {
    Spoilable {
        manifests: vec![parsed(&data().inputs.manifest)],
        training: parsed(&data().inputs.training_profile),
        governance: parsed("profiles/easy_gate.yaml"),
        request: crate::support::request("req-resolve-0001"),
    }
}

impl Spoilable {
    fn resolve(&self) -> Result<TrainPlan, Failure> {
        let written = |name: &str, value: &Value| document(name, value.to_string().into_bytes());
        let manifests = self.manifests.iter().enumerate();
        let documents = Documents {
            request: self.request.clone(),
            manifests: manifests.map(|(index, value)| written(&format!("m{index}.json"), value)).collect(),
            training: written("training.yaml", &self.training),
            governance: written("governance.yaml", &self.governance),
            commands: BTreeMap::new(),
        };
        documents.resolve()
    }
}

/// A second manifest of other data that agrees with the first.
fn second(documents: &mut Spoilable) -> &mut Value {
    let mut other = documents.manifests[0].clone();
    other["dataset_manifest_id"] = json!("another");
    other["materializations"][0]["sha256"] = json!("ab".repeat(32));
    documents.manifests.push(other);
    &mut documents.manifests[1]
}

#[test]
fn documents_that_fit_together_make_one_plan_and_always_the_same() {
    let mut documents = good();
    second(&mut documents);
    let basis = documents.manifests[0]["label_basis"].clone();
    documents.training["expected_label_basis"] = basis;
    let plan = documents.resolve().unwrap();
    assert_eq!(plan, documents.resolve().unwrap());
    assert_eq!((plan.manifests.len(), plan.files.len()), (2, 2));
}

fn rename_feature(documents: &mut Spoilable, name: &str) {
    documents.training["features"][0]["name"] = json!(name);
}

#[test]
fn every_disagreement_has_its_code_and_names_the_document() {
    type Spoil = fn(&mut Spoilable);
    let cases: [(FailureCode, &str, Spoil); 23] = [
        (FailureCode::ManifestInvalid, "m0.json", |d| d.manifests[0]["surprise"] = json!(1)),
        (FailureCode::ManifestInvalid, "m0.json", |d| d.manifests[0]["schema_version"] = json!("v9")),
        (FailureCode::ManifestInvalid, "this release reads", |d| {
            d.manifests[0]["schema_version"] = json!("learning.dataset_manifest.v9");
            d.training["expected_manifest_schema_version"] = json!("learning.dataset_manifest.v9");
        }),
        (FailureCode::RunScopeInvalid, "m0.json", |d| {
            d.manifests[0]["platform_run_id"] = json!("another_platform_run");
        }),
        (FailureCode::RunScopeInvalid, "m1.json", |d| second(d)["platform_run_id"] = json!("another_platform_run")),
        (FailureCode::ManifestInvalid, "two fingerprints", |d| {
            let id = d.manifests[0]["dataset_manifest_id"].clone();
            let other = second(d);
            other["dataset_manifest_id"] = id;
            other["dataset_fingerprint"] = json!("fingerprint-of-other-data");
        }),
        (FailureCode::FeatureSchemaIncompatible, "m1.json", |d| {
            second(d)["feature_definition_set"]["feature_set_version"] = json!("v999");
        }),
        (FailureCode::FeatureSchemaIncompatible, "m0.json", |d| {
            d.training["expected_manifest_schema_version"] = json!("learning.dataset_manifest.v9");
        }),
        (FailureCode::ManifestInvalid, "label_basis", |d| {
            second(d)["label_basis"]["label_asof_utc"] = json!("2020-01-01T00:00:00Z");
        }),
        (FailureCode::ManifestInvalid, "label_basis", |d| second(d)["label_basis"]["resolution_rule"] = json!("other")),
        (FailureCode::ManifestInvalid, "label_asof_utc", |d| {
            d.manifests[0]["label_basis"]["label_asof_utc"] = json!("2999-01-01T00:00:00Z");
        }),
        (FailureCode::FeatureSchemaIncompatible, "resolution_rule", |d| {
            d.training["expected_label_basis"] = json!({"resolution_rule": "another-rule"});
        }),
        (FailureCode::FeatureSchemaIncompatible, "label_asof_utc", |d| {
            d.training["expected_label_basis"] = json!({"label_asof_utc": "2020-01-01T00:00:00Z"});
        }),
        (FailureCode::FeatureSchemaIncompatible, "maturity_days", |d| {
            d.training["expected_label_basis"] = json!({"maturity_days": 365});
        }),
        (FailureCode::MaterializationUnresolved, "m0.json", |d| {
            d.manifests[0].as_object_mut().unwrap().remove("materializations");
        }),
        (FailureCode::TrainingProfileInvalid, "training.yaml", |d| d.training["surprise"] = json!(1)),
        (FailureCode::TrainingProfileInvalid, "\"amount[usd]\"", |d| rename_feature(d, "amount[usd]")),
        (FailureCode::TrainingProfileInvalid, "\"a]\"", |d| rename_feature(d, "a]")),
        (FailureCode::TrainingProfileInvalid, "\"amount<10\"", |d| rename_feature(d, "amount<10")),
        (FailureCode::TrainingProfileInvalid, "/data_expectations/0/min_rows_per_day", |d| {
            d.training["data_expectations"] = json!([{"column": "amount", "min_rows_per_day": 1}]);
        }),
        (FailureCode::TrainingProfileInvalid, "/data_expectations/1/column", |d| {
            d.training["data_expectations"] = json!([{"min_rows_per_day": 1}, {"column": "amuont", "min": 0}]);
        }),
        (FailureCode::GovernanceProfileInvalid, "governance.yaml", |d| d.governance["surprise"] = json!(1)),
        (FailureCode::GovernanceProfileInvalid, "require_pass_gate", |d| {
            d.governance["controls"]["require_pass_gate"] = json!(false);
        }),
    ];
    for (code, named, spoil) in cases {
        let mut documents = good();
        spoil(&mut documents);
        let failure = documents.resolve().unwrap_err();
        assert_eq!(failure.code, code, "{}", failure.message);
        assert!(failure.message.contains(named), "{named}: {}", failure.message);
    }
}
