//! Writes `provenance.intoto.json`, which tells supply-chain tools who built the bundle from which inputs.
//!
//! Formats: in-toto Statement v1 (<https://in-toto.io/Statement/v1>) with SLSA provenance v1
//! (<https://slsa.dev/spec/v1.0/provenance>). The file has no time and no host name. The attempt records hold the times
//! of the build.

use crate::domain::contract::{BundleArtifact, ResolvedAlgorithm, TrainPlan};
use crate::domain::identity::Digest;
use serde_json::{Value, json};

pub const PROVENANCE_FILE: &str = "provenance.intoto.json";
const BUILD_TYPE: &str = "https://modelfactory.dev/build/train/v0";
const BUILDER: &str = "https://modelfactory.dev/builder/worker/v0";
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PREDICATE: &str = "https://slsa.dev/provenance/v1";

pub fn provenance(plan: &TrainPlan, files: impl Iterator<Item = BundleArtifact>) -> Value {
    let subject: Vec<Value> = files.map(|file| json!({"name": file.path, "digest": digest(&file.sha256)})).collect();
    let mut internal = json!({
        "ownership_boundaries_sha256": plan.ownership_boundaries_sha256,
        "seed": plan.seed.to_string(),
        "algorithm": plan.algorithm.id(),
    });
    if let ResolvedAlgorithm::Process(algorithm) = &plan.algorithm {
        internal["command"] = json!(algorithm.command);
    }
    json!({
        "_type": STATEMENT,
        "subject": subject,
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": external_parameters(plan),
                "internalParameters": internal,
                "resolvedDependencies": dependencies(plan),
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": {"mf_code_release_id": plan.revisions.mf_code_release_id}},
                "metadata": {"invocationId": plan.run_id},
            },
        },
    })
}

/// Returns the part of the request that the run key is computed from.
fn external_parameters(plan: &TrainPlan) -> Value {
    json!(plan.meaning())
}

fn dependencies(plan: &TrainPlan) -> Vec<Value> {
    let manifests = plan.manifests.iter().map(|manifest| ("manifest", &manifest.reference, &manifest.sha256));
    let profiles = [("training_profile", &plan.training_profile), ("governance_profile", &plan.governance_profile)]
        .map(|(role, profile)| (role, &profile.reference, &profile.sha256));
    let data = plan.files.iter().map(|file| ("data", &file.reference, &file.sha256));
    manifests
        .chain(profiles)
        .chain(data)
        .map(|(role, reference, sha256)| {
            let mut dependency = json!({"name": reference, "digest": digest(sha256), "annotations": {"role": role}});
            // A reference relative to the worker's root folder is not a URI.
            if reference.contains("://") {
                dependency["uri"] = json!(reference);
            }
            dependency
        })
        .collect()
}

fn digest(sha256: &Digest) -> Value {
    json!({ "sha256": sha256 })
}
