//! Where evidence goes and inputs come from.

use super::Finding;
use crate::config::Config;
use crate::contract::Reference;
use crate::dataset::{InputFault, Inputs};
use crate::evidence::{EvidenceStore, Fault};
use std::path::Path;

/// Whether the store can be written, and refuses to overwrite.
pub(super) async fn store(config: &Config) -> Vec<Finding> {
    let check = "evidence store";
    let tested = match EvidenceStore::open(&config.evidence) {
        Ok(store) => store.self_test().await,
        Err(fault) => Err(fault),
    };
    vec![match tested {
        Ok(()) => Finding::green(check, format!("{} is write-once", config.evidence.url)),
        Err(fault @ Fault::Unavailable(_)) => {
            Finding::red(check, fault.to_string(), "start the store, let this user write there, or mend [evidence] url")
        }
        Err(fault @ Fault::Unusable(_)) => {
            Finding::red(check, fault.to_string(), "mend [evidence]; the store must honour conditional puts")
        }
    }]
}

/// Whether each place that may be read can be.
pub(super) async fn inputs(config: &Config) -> Vec<Finding> {
    let check = "inputs";
    let settings = &config.inputs;
    let inputs = match Inputs::open(settings) {
        Ok(inputs) => inputs,
        Err(error) => return vec![Finding::red(check, error.to_string(), "make the folder, or mend [inputs]")],
    };
    if settings.root.is_none() && settings.allow.is_empty() {
        let found = "nothing may be read: no request can be resolved";
        return vec![Finding::yellow(check, found, "set [inputs] root or [inputs] allow")];
    }
    let mut findings = Vec::new();
    if let Some(root) = &settings.root {
        findings.push(folder(root));
    }
    for prefix in &settings.allow {
        findings.push(match prefix.strip_prefix("file://") {
            Some(path) => folder(Path::new(path)),
            None => bucket(&inputs, prefix).await,
        });
    }
    findings
}

fn folder(path: &Path) -> Finding {
    let check = format!("inputs {}", path.display());
    match std::fs::read_dir(path) {
        Ok(_) => Finding::green(check, "can be read"),
        Err(error) => {
            Finding::red(check, format!("cannot be read: {error}"), "let this user read it, or mend [inputs]")
        }
    }
}

/// Asks for an object that is not there: the answer "not found" comes from a bucket that can be read.
async fn bucket(inputs: &Inputs, prefix: &str) -> Finding {
    let check = format!("inputs {prefix}");
    let advice = "mend endpoint and credentials under [inputs], or the prefix in [inputs] allow";
    let probe = match Reference::parse(&format!("{}/model-factory-doctor", prefix.trim_end_matches('/'))) {
        Ok(probe) => probe,
        Err(error) => return Finding::red(check, error.to_string(), advice),
    };
    match inputs.document(&probe).await {
        Ok(_) | Err(InputFault::NotFound { .. }) => Finding::green(check, "answers"),
        Err(fault) => Finding::red(check, fault.to_string(), advice),
    }
}
