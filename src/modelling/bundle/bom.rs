//! Writes `bom.json`, the bundle's bill of materials for supply-chain tools.
//!
//! Format: CycloneDX 1.7, as an ML-BOM. The file has no serial number and no time stamp, since these would change with
//! every build.

use crate::domain::contract::{
    EvalReport, Feature, FeatureKind, MetricValue, ModelFormat, ResolvedAlgorithm, TrainPlan,
};
use crate::domain::identity::Digest;
use serde_json::{Value, json};

pub const BOM_FILE: &str = "bom.json";
pub const BOM_VERSION: &str = "1.7";

/// Builds the bill of materials. It lists the model, its data and documents, and the release that built the model.
pub fn bom(plan: &TrainPlan, report: &EvalReport, model: &Digest, format: ModelFormat) -> Value {
    let part = |at: String, name: &str, sha256: &Digest, version: Option<&str>, holds: Value| {
        let mut part = json!({"type": "data", "bom-ref": at, "name": name, "hashes": [hash(sha256)], "data": [holds]});
        if let Some(version) = version {
            part["version"] = json!(version);
        }
        part
    };
    let data = plan.files.iter().enumerate().map(|(index, file)| {
        let text = format!("{} rows, {} bytes", file.rows, file.bytes);
        let dataset = json!({"type": "dataset", "name": file.reference, "description": text});
        part(format!("data-{index}"), &file.reference, &file.sha256, None, dataset)
    });
    let manifests = plan.manifests.iter().enumerate().map(|(index, manifest)| {
        let definition = json!({"type": "definition", "name": manifest.dataset_manifest_id});
        let version = Some(manifest.dataset_fingerprint.as_str());
        part(format!("manifest-{index}"), &manifest.reference, &manifest.sha256, version, definition)
    });
    let profiles = [("training-profile", &plan.training_profile), ("governance-profile", &plan.governance_profile)]
        .map(|(at, profile)| {
            let configuration = json!({"type": "configuration", "name": profile.policy_id});
            part(at.to_owned(), &profile.reference, &profile.sha256, Some(&profile.revision), configuration)
        });
    let parts: Vec<Value> = data.chain(manifests).chain(profiles).collect();
    let depends_on: Vec<&Value> = parts.iter().map(|part| &part["bom-ref"]).collect();
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": BOM_VERSION,
        "version": 1,
        "metadata": {
            "component": {
                "type": "machine-learning-model",
                "bom-ref": "model",
                "name": plan.target_scope.scope_key(),
                "version": plan.run_id,
                "description": "Probability of fraud of a payment.",
                "mime-type": format.media_type(),
                "hashes": [hash(model)],
                "modelCard": card(plan, report),
                "properties": [
                    property("file", format.file_name()),
                    property("feature_set_id", &plan.feature_definition_set.feature_set_id),
                    property("feature_set_version", &plan.feature_definition_set.feature_set_version),
                    property("policy_revision", &plan.revisions.policy_revision),
                    property("config_revision", &plan.revisions.config_revision),
                ],
            },
            "tools": {
                "components": [{
                    "type": "application", "name": "model-factory", "version": plan.revisions.mf_code_release_id,
                }],
            },
        },
        "dependencies": [{"ref": "model", "dependsOn": depends_on}],
        "components": parts,
    })
}

fn card(plan: &TrainPlan, report: &EvalReport) -> Value {
    let datasets: Vec<Value> = (0..plan.files.len()).map(|index| json!({"ref": format!("data-{index}")})).collect();
    let format_of = |feature: &Feature| match feature.kind {
        FeatureKind::Numeric => format!("{}: number", feature.name),
        FeatureKind::Categorical => format!("{}: category", feature.name),
    };
    let inputs: Vec<Value> = plan.features.iter().map(|feature| json!({"format": format_of(feature)})).collect();
    let architecture = match plan.algorithm {
        ResolvedAlgorithm::BuiltIn(_) => "gradient-boosted trees",
        ResolvedAlgorithm::Process(_) => "as the registered command made it",
    };
    let whole = report.metrics.scores.iter().filter_map(|(name, metric)| performance(name, metric, None));
    let parts = report.metrics.slices.iter().flat_map(|by| {
        by.slices.iter().flat_map(move |slice| {
            let name = format!("{} = {}", by.column, slice.slice);
            slice.scores.iter().filter_map(move |(metric, value)| performance(metric, value, Some(&name)))
        })
    });
    json!({
        "modelParameters": {
            "approach": {"type": "supervised"},
            "task": "classification",
            "architectureFamily": architecture,
            "modelArchitecture": plan.algorithm.id(),
            "datasets": datasets,
            "inputs": inputs,
            "outputs": [{"format": "probability of fraud, 0 to 1"}],
        },
        "quantitativeAnalysis": {"performanceMetrics": whole.chain(parts).collect::<Vec<_>>()},
    })
}

fn performance(name: &str, metric: &MetricValue, slice: Option<&str>) -> Option<Value> {
    let mut entry = json!({"type": name, "value": metric.value?.to_string()});
    if let Some(slice) = slice {
        entry["slice"] = json!(slice);
    }
    if let Some(interval) = &metric.interval {
        entry["confidenceInterval"] =
            json!({"lowerBound": interval.low.to_string(), "upperBound": interval.high.to_string()});
    }
    Some(entry)
}

fn hash(sha256: &Digest) -> Value {
    json!({"alg": "SHA-256", "content": sha256})
}

fn property(name: &str, value: &str) -> Value {
    json!({"name": format!("model-factory:{name}"), "value": value})
}
