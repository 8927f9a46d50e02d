//! Ids of runs in OpenLineage, which wants UUIDs.

use super::{Digest, RunKey, recipe_digest};
use serde_json::json;
use uuid::{Builder, Uuid};

/// The UUID of a run, the same for every attempt on every machine: the first 16 bytes of the digest with the recipe
/// `mf.lineage_run_id.v1`, with the bits of version 8 (RFC 9562) set.
pub fn lineage_run_id(run_key: &RunKey) -> Uuid {
    of(recipe_digest("mf.lineage_run_id.v1", &json!({"train_run_key": run_key.to_string()})))
}

/// The UUID of a platform run: its own id where that is a UUID, else derived in the same way with the recipe
/// `mf.lineage_platform_run_id.v1`.
pub fn lineage_platform_run_id(platform_run_id: &str) -> Uuid {
    let derived = || of(recipe_digest("mf.lineage_platform_run_id.v1", &json!({"platform_run_id": platform_run_id})));
    Uuid::try_parse(platform_run_id).unwrap_or_else(|_| derived())
}

fn of(digest: Digest) -> Uuid {
    let mut first = [0; 16];
    first.copy_from_slice(&digest.as_bytes()[..16]);
    Builder::from_custom_bytes(first).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

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
