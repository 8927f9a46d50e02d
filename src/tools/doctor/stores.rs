//! Checks the evidence store, and the folders and buckets that inputs are read from.

use super::finding::{Finding, off_thread};
use crate::adapters::dataset::{InputError, InputSettings, Inputs};
use crate::adapters::evidence::{Error, EvidenceStore};
use crate::config::Config;
use crate::domain::contract::Reference;
use std::collections::BTreeSet;
use std::path::Path;

/// Checks whether the store can be written, and refuses to overwrite.
pub(super) async fn evidence(config: &Config) -> Vec<Finding> {
    let check = "evidence store";
    let settings = config.evidence.clone();
    let tested = match tokio::task::spawn_blocking(move || EvidenceStore::open(&settings)).await {
        Ok(Ok(store)) => store.self_test().await,
        Ok(Err(error)) => Err(error),
        Err(error) => Err(Error::Unavailable(error.to_string())),
    };
    vec![match tested {
        Ok(()) => Finding::green(check, format!("{} is write-once", config.evidence.url)),
        Err(error @ Error::Unavailable(_)) => {
            Finding::red(check, error.to_string(), "start the store, let this user write there, or mend [evidence] url")
        }
        Err(error @ Error::Exhausted(_)) => {
            Finding::red(check, error.to_string(), "give this machine disk, memory or file descriptors (`ulimit -n`)")
        }
        Err(error @ (Error::Unusable(_) | Error::Unfit(_))) => {
            Finding::red(check, error.to_string(), "mend [evidence]; the store must honour conditional puts")
        }
    }]
}

/// Checks whether each allowed folder and bucket can be read.
pub(super) async fn inputs(config: &Config) -> Vec<Finding> {
    let settings = &config.inputs;
    if settings.root.is_none() && settings.allow.is_empty() {
        let found = "nothing may be read: no request can be resolved";
        return vec![Finding::yellow("inputs", found, "set [inputs] root or [inputs] allow")];
    }
    let mut findings = off_thread(settings, folders).await;
    // If the settings are wrong, `folders` has already reported it.
    let settings = settings.clone();
    if let Ok(Ok(inputs)) = tokio::task::spawn_blocking(move || Inputs::open(&settings)).await {
        for prefix in config.inputs.allow.iter().filter(|prefix| !prefix.starts_with("file://")) {
            findings.push(bucket(&inputs, prefix).await);
        }
    }
    findings
}

fn folders(settings: &InputSettings) -> Vec<Finding> {
    if let Err(error) = Inputs::open(settings) {
        return vec![Finding::red("inputs", error.to_string(), "make the folder, or mend [inputs]")];
    }
    let allowed = settings.allow.iter().filter_map(|prefix| prefix.strip_prefix("file://")).map(Path::new);
    // A set, because the root may also be in the allow-list.
    let paths: BTreeSet<&Path> = settings.root.as_deref().into_iter().chain(allowed).collect();
    let folder = |path: &Path| {
        let check = format!("inputs {}", path.display());
        match std::fs::read_dir(path) {
            Ok(_) => Finding::green(check, "can be read"),
            Err(error) => {
                Finding::red(check, format!("cannot be read: {error}"), "let this user read it, or mend [inputs]")
            }
        }
    };
    paths.into_iter().map(folder).collect()
}

/// Reads an object that does not exist. A bucket that can be read replies "not found".
async fn bucket(inputs: &Inputs, prefix: &str) -> Finding {
    let check = format!("inputs {prefix}");
    let advice = "mend endpoint and credentials under [inputs], or the prefix in [inputs] allow";
    let probe = match Reference::parse(&format!("{}/model-factory-doctor", prefix.trim_end_matches('/'))) {
        Ok(probe) => probe,
        Err(error) => return Finding::red(check, error.to_string(), advice),
    };
    match inputs.documents().read(&probe).await {
        Ok(_) | Err(InputError::NotFound { .. }) => Finding::green(check, "answers"),
        Err(error) => Finding::red(check, error.to_string(), advice),
    }
}
