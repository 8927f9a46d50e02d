//! Decides which requests share a run. Derives the run id, and the run's UUID in OpenLineage, from the run key.

use super::{Digest, canonical_json};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use uuid::{Builder, Uuid};

/// The part of a request from which its run key is computed: what is built, from what, and with which revisions. Does
/// not hold the requester, the request id or the permission to publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunMeaning {
    pub intent_kind: String,
    pub platform_run_id: String,
    /// A set, because order and repetition make no difference to the run.
    pub dataset_manifest_refs: BTreeSet<String>,
    pub training_config_ref: String,
    pub governance_profile_ref: String,
    /// Holds only the parts that are set, each under its field name, for example `environment`.
    pub target_scope: BTreeMap<String, String>,
    pub policy_revision: String,
    pub config_revision: String,
    pub mf_code_release_id: String,
}

/// Requests with the same run key share one run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RunKey(Digest);

/// `tr_` and 32 hex digits, derived from the run key.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct RunId(String);

/// Computes `sha256(C({"payload": payload, "recipe": recipe}))`, where C is canonical JSON. `recipe` names the kind of
/// identifier and its version, for example `mf.train_run_id.v1`. It is part of the hashed text, so that the same payload
/// gives different digests for different kinds.
pub fn recipe_digest(recipe: &str, payload: &Value) -> Digest {
    Digest::of(recipe_text(recipe, payload).as_bytes())
}

/// Builds the text that [`recipe_digest`] hashes. Does not copy the payload, which may be large.
fn recipe_text(recipe: &str, payload: &Value) -> String {
    format!(r#"{{"payload":{},"recipe":{}}}"#, canonical_json(payload), canonical_json(&json!(recipe)))
}

/// Computes a digest over a request without its `request_id`. The digest distinguishes a repeated request from a
/// conflict.
pub fn payload_digest(request_without_id: &Value) -> Digest {
    recipe_digest("mf.request_payload.v1", request_without_id)
}

impl RunMeaning {
    /// Returns the text whose digest is the run key. `runs explain` prints the text.
    pub fn canonical(&self) -> String {
        recipe_text(RunKey::RECIPE, &json!(self))
    }
}

impl RunKey {
    const RECIPE: &'static str = "mf.train_run_key.v1";

    pub fn of(meaning: &RunMeaning) -> Self {
        Self(Digest::of(meaning.canonical().as_bytes()))
    }

    /// Wraps a digest that the ledger stores.
    pub fn from_digest(digest: Digest) -> Self {
        Self(digest)
    }

    pub fn digest(&self) -> Digest {
        self.0
    }

    pub fn run_id(&self) -> RunId {
        let digest = recipe_digest("mf.train_run_id.v1", &json!({"train_run_key": self.to_string()}));
        RunId(format!("tr_{}", &digest.to_string()[..32]))
    }
}

impl RunId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RunId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("tr_").unwrap_or_default();
        let hex = digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if digits.len() == 32 && hex {
            Ok(Self(text.to_owned()))
        } else {
            Err("a run id is tr_ and 32 lower-case hex digits")
        }
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Computes the UUID of a run in OpenLineage, which is the same for every attempt on every machine. The UUID is the
/// first 16 bytes of the digest with recipe `mf.lineage_run_id.v1`, with the bits of version 8 (RFC 9562) set.
pub fn lineage_run_id(run_key: &RunKey) -> Uuid {
    uuid_of(recipe_digest("mf.lineage_run_id.v1", &json!({"train_run_key": run_key.to_string()})))
}

/// Returns the UUID of a platform run in OpenLineage. If the platform run's id is a UUID, that is returned. Otherwise
/// the UUID is derived like [`lineage_run_id`], with the recipe `mf.lineage_platform_run_id.v1`.
pub fn lineage_platform_run_id(platform_run_id: &str) -> Uuid {
    let derived =
        || uuid_of(recipe_digest("mf.lineage_platform_run_id.v1", &json!({"platform_run_id": platform_run_id})));
    Uuid::try_parse(platform_run_id).unwrap_or_else(|_| derived())
}

fn uuid_of(digest: Digest) -> Uuid {
    let mut first = [0; 16];
    first.copy_from_slice(&digest.as_bytes()[..16]);
    Builder::from_custom_bytes(first).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        vectors: Vec<Vector>,
    }

    #[derive(Deserialize)]
    struct Vector {
        name: String,
        run_key_payload: RunMeaning,
        canonical: String,
        train_run_key: String,
        train_run_id: String,
    }

    #[test]
    fn keys_and_ids_equal_the_platforms_golden_vectors() {
        let golden: Golden =
            serde_json::from_str(include_str!("../../../tests/golden/identity/run_keys.json")).unwrap();
        assert!(golden.vectors.len() >= 12);
        for vector in golden.vectors {
            let key = RunKey::of(&vector.run_key_payload);
            assert_eq!(vector.run_key_payload.canonical(), vector.canonical, "{}", vector.name);
            assert_eq!(key.to_string(), vector.train_run_key, "{}", vector.name);
            assert_eq!(key.run_id().as_str(), vector.train_run_id, "{}", vector.name);
        }
    }

    #[test]
    fn only_ids_of_our_form_are_run_ids() {
        assert!("tr_16a2ad9c3ad29e2e989ece1cb3c61936".parse::<RunId>().is_ok());
        for bad in ["", "tr_", "tr_16a2", "xx_16a2ad9c3ad29e2e989ece1cb3c61936", "tr_16A2ad9c3ad29e2e989ece1cb3c61936"]
        {
            assert!(bad.parse::<RunId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_uuids_are_those_of_their_recipes() {
        // printf '{"payload":{"train_run_key":"%064d"},"recipe":"mf.lineage_run_id.v1"}' 0 | sha256sum
        let key = RunKey::from_digest(Digest::from_bytes(&[0; 32]).unwrap());
        assert_eq!(lineage_run_id(&key).to_string(), "152ae1da-c34d-8090-91ac-83d04ec477ca");
        assert_eq!(lineage_run_id(&key).get_version_num(), 8);
        // printf '{"payload":{"platform_run_id":"platform_2026"},"recipe":"mf.lineage_platform_run_id.v1"}' | sha256sum
        assert_eq!(lineage_platform_run_id("platform_2026").to_string(), "7004d974-43f3-8c0c-b4a7-a584b5f282ef");
        let own = "0192a5b8-3b1c-7d3e-8f00-0123456789ab";
        assert_eq!(lineage_platform_run_id(own).to_string(), own);
    }
}
