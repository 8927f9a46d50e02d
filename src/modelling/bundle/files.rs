//! The files of a bundle, and the id that follows from them.

use crate::domain::contract::{BundleArtifact, Revisions};
use crate::domain::identity::{Digest, canonical_json, recipe_digest};
use serde_json::json;

/// The signature's name in the folder. It signs every other file, so no list of files holds it.
pub const SIGNATURE_FILE: &str = "model.sig";

/// A file to be written into the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleFile {
    /// Relative to the folder.
    pub path: &'static str,
    pub media_type: &'static str,
    pub bytes: Vec<u8>,
}

impl BundleFile {
    /// The file's entry in a list of files.
    pub fn artifact(&self) -> BundleArtifact {
        BundleArtifact {
            path: self.path.to_owned(),
            sha256: Digest::of(&self.bytes),
            bytes: self.bytes.len() as u64,
            media_type: self.media_type.to_owned(),
        }
    }
}

/// `sha256` over the canonical JSON of `[[path, digest], …]`, sorted by path, of every file but the
/// signature.
pub fn bundle_id(artifacts: &[BundleArtifact]) -> Digest {
    let mut entries: Vec<(&str, Digest)> = artifacts
        .iter()
        .filter(|file| file.path != SIGNATURE_FILE)
        .map(|file| (file.path.as_str(), file.sha256))
        .collect();
    entries.sort_unstable();
    Digest::of(canonical_json(&json!(entries)).as_bytes())
}

/// `v0-` and 12 hex digits of the digest of (bundle id, policy revision, config revision).
pub fn bundle_version(bundle_id: &Digest, revisions: &Revisions) -> String {
    let payload = json!({
        "bundle_id": bundle_id,
        "config_revision": revisions.config_revision,
        "policy_revision": revisions.policy_revision,
    });
    format!("v0-{}", &recipe_digest("mf.bundle_version.v1", &payload).to_string()[..12])
}
