//! References, manifests and profiles that cannot be turned into a plan.

use super::inputs;
use super::row::{Row, ends};
use super::stage::{ask_with, bytes};
use crate::support::data;
use model_factory::domain::run::FailureCode as C;
use serde_json::{Value, json};

const LATER: &str = "nothing: it is tried again; after the bound, provide it and ask an operator for `runs requeue`";
const NEW_MANIFEST: &str = "have the dataset's owner write a new manifest, ask with that";
const NEW_PROFILE: &str = "pin a mended profile under a new name, ask with that";

pub fn rows() -> Vec<Row> {
    let mut rows = references();
    rows.extend(manifests());
    rows.extend(data_files());
    rows.extend(profiles());
    rows.extend(super::bundles::rows());
    rows
}

fn of_manifests(id: &str, manifests: &[String]) -> Vec<u8> {
    ask_with(id, "dataset_manifest_refs", json!(manifests))
}

fn of_manifest(id: &str, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    of_manifests(id, &[inputs::manifest(&format!("dm-{id}"), change)])
}

fn references() -> Vec<Row> {
    vec![
        ends(
            C::RunScopeInvalid,
            "a manifest that belongs to another platform run",
            "belongs to platform run",
            "name the platform run that the manifests belong to",
            || ask_with("req-platform1", "platform_run_id", json!("platform_other")),
        ),
        ends(
            C::RefNotAllowed,
            "a manifest whose data file is outside the allow-list",
            "outside the allow-list",
            NEW_MANIFEST,
            || {
                of_manifest("req-fileref-1", |m| {
                    m["materializations"][0]["ref"] = json!("s3://elsewhere/cards.parquet");
                })
            },
        ),
        ends(
            C::RefNotAllowed,
            "a manifest whose data file is a link out of the allowed folders",
            "leads out of the allowed folders",
            NEW_MANIFEST,
            || {
                let link = inputs::link_out("link.parquet");
                of_manifest("req-symlink-1", |m| m["materializations"][0]["ref"] = json!(link))
            },
        ),
    ]
}

fn manifests() -> Vec<Row> {
    vec![
        ends(C::ManifestUnresolved, "a manifest that is not there", "was not found", LATER, || {
            of_manifests("req-nodm-0001", &["ofs/manifests/nowhere.json".to_owned()])
        }),
        ends(C::ManifestInvalid, "a manifest larger than the operator's limit", "more than", NEW_MANIFEST, || {
            of_manifests("req-bigdm-001", &[inputs::file("big.json", &vec![b' '; 5 * 1024 * 1024])])
        }),
        ends(C::ManifestInvalid, "a manifest that does not match its schema", "/label_basis", NEW_MANIFEST, || {
            of_manifest("req-schema-01", |m| {
                m.as_object_mut().unwrap().remove("label_basis").unwrap();
            })
        }),
        ends(
            C::ManifestInvalid,
            "two manifests of one id with two fingerprints",
            "two fingerprints",
            NEW_MANIFEST,
            || {
                let twin = |name: &str, fingerprint: &str| {
                    inputs::manifest(name, |m| {
                        m["dataset_manifest_id"] = json!("dm-twin");
                        m["dataset_fingerprint"] = json!(fingerprint);
                    })
                };
                of_manifests("req-twins-001", &[twin("twin-a", "sha256:aaaa"), twin("twin-b", "sha256:bbbb")])
            },
        ),
        ends(
            C::ManifestInvalid,
            "a label as-of in the future",
            "lies after the start of the run",
            NEW_MANIFEST,
            || of_manifest("req-future-01", |m| m["label_basis"]["label_asof_utc"] = json!("2999-01-01T00:00:00Z")),
        ),
        ends(
            C::ManifestInvalid,
            "two manifests whose labels follow different rules",
            "label_basis",
            NEW_MANIFEST,
            || {
                let other = inputs::manifest("other-rule", |m| m["label_basis"]["resolution_rule"] = json!("other"));
                of_manifests("req-rules-001", &[data().inputs.manifest.clone(), other])
            },
        ),
        ends(C::ManifestInvalid, "two manifests that pin the same content", "same content", NEW_MANIFEST, || {
            let again = inputs::manifest("same-content", |_| {});
            of_manifests("req-twice-001", &[data().inputs.manifest.clone(), again])
        }),
        ends(
            C::FeatureSchemaIncompatible,
            "a manifest of another version of the feature set",
            "the training profile expects synthetic-cards v1",
            "ask with a profile and a manifest of the same feature set",
            || of_manifest("req-featset-1", |m| m["feature_definition_set"]["feature_set_version"] = json!("v2")),
        ),
        ends(
            C::FeatureSchemaIncompatible,
            "a training profile that expects another version of manifests",
            "the training profile expects learning.dataset_manifest.v1",
            "ask with a profile for manifests of this version",
            || {
                let from = "learning.dataset_manifest.v0";
                let profile = inputs::training("manifest-v1", from, "learning.dataset_manifest.v1");
                ask_with("req-dmvers-01", "training_config_ref", json!(profile))
            },
        ),
    ]
}

fn data_files() -> Vec<Row> {
    vec![
        ends(C::MaterializationUnresolved, "a data file that is not there", "was not found", LATER, || {
            of_manifest("req-nofile-01", |m| m["materializations"][0]["ref"] = json!("ofs/data/nowhere.parquet"))
        }),
        ends(
            C::MaterializationUnresolved,
            "a manifest without data files",
            "nothing to train on",
            "ask with a manifest that names its files",
            || {
                of_manifest("req-nofiles-1", |m| {
                    m.as_object_mut().unwrap().remove("materializations").unwrap();
                })
            },
        ),
        ends(
            C::DigestMismatch,
            "a data file whose bytes are not the pinned ones",
            "expected sha256",
            NEW_MANIFEST,
            || of_manifest("req-digest-01", |m| m["materializations"][0]["sha256"] = json!("0".repeat(64))),
        ),
        ends(
            C::DigestMismatch,
            "a data file of another size than the pinned one",
            "bytes, found",
            NEW_MANIFEST,
            || {
                of_manifest("req-size-0001", |m| {
                    let bytes = m["materializations"][0]["bytes"].as_u64().unwrap();
                    m["materializations"][0]["bytes"] = json!(bytes + 1);
                })
            },
        ),
    ]
}

fn trained_by(id: &str, profile: &str) -> Vec<u8> {
    ask_with(id, "training_config_ref", json!(profile))
}

fn governed_by(id: &str, profile: &str) -> Vec<u8> {
    let mut request = super::stage::ask(id);
    request["governance_profile_ref"] = json!(profile);
    bytes(&request)
}

fn profiles() -> Vec<Row> {
    vec![
        ends(C::TrainingProfileUnresolved, "a training profile that is not there", "was not found", LATER, || {
            trained_by("req-notp-0001", "profiles/nowhere.yaml")
        }),
        ends(C::TrainingProfileInvalid, "a governance profile named as training profile", "", NEW_PROFILE, || {
            trained_by("req-wrongtp-1", "profiles/easy_gate.yaml")
        }),
        ends(
            C::TrainingProfileInvalid,
            "a test window without the delay that labels need",
            "split:",
            NEW_PROFILE,
            || trained_by("req-delay-001", &inputs::training("delay", "delay_days: 7", "delay_days: 8")),
        ),
        ends(
            C::TrainingProfileInvalid,
            "a feature with a name that XGBoost refuses",
            "rename the column",
            NEW_PROFILE,
            || trained_by("req-brackets1", &inputs::training("brackets", "name: amount,", "name: 'amount[usd]',")),
        ),
        ends(C::TrainingProfileInvalid, "a parameter that the algorithm does not know", "magic", NEW_PROFILE, || {
            trained_by("req-param-001", &inputs::training("magic", "eta: 0.1", "eta: 0.1, magic: 1"))
        }),
        ends(C::GovernanceProfileUnresolved, "a governance profile that is not there", "was not found", LATER, || {
            governed_by("req-nogp-0001", "profiles/nowhere.yaml")
        }),
        ends(
            C::GovernanceProfileInvalid,
            "a governance profile that wants publication without a PASS",
            "require_pass_gate must be true",
            NEW_PROFILE,
            || {
                governed_by(
                    "req-nopass-01",
                    &inputs::governance("nopass", false, "eval_thresholds: {min_auc_roc: 0.5}"),
                )
            },
        ),
        ends(
            C::GovernanceProfileInvalid,
            "a governance profile with a threshold that is neither min_ nor max_",
            "does not match \"^(min|max)_",
            NEW_PROFILE,
            || governed_by("req-badthr-01", &inputs::governance("badthr", true, "eval_thresholds: {auc_roc: 0.5}")),
        ),
    ]
}
