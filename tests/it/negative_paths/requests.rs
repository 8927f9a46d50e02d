//! Messages that intake refuses, and workers that may not read any.

use super::row::{Bring, Leaves, Row, refused, unreadable};
use super::stage::{ask, ask_with, bytes};
use futures::FutureExt as _;
use model_factory::domain::contract::MAX_MESSAGE_BYTES;
use model_factory::domain::run::FailureCode as C;
use serde_json::{Value, json};

const MEND: &str = "mend the field that the pointer names, send again";

pub fn rows() -> Vec<Row> {
    let mut rows = bytes_that_are_no_message();
    rows.extend(super::wrapped::rows());
    rows.extend(fields());
    rows.extend(references());
    rows.extend(boundaries());
    rows.push(foreign_header());
    rows
}

fn bytes_that_are_no_message() -> Vec<Row> {
    vec![
        unreadable(C::MessageEmpty, "", "a record without a value", "no value", "send a request", Vec::new),
        unreadable(
            C::MessageTooLarge,
            "",
            "a good request padded past 256 KiB",
            "262145 bytes",
            "name fewer manifests, or shorter texts",
            || {
                let mut padded = bytes(&ask("req-large-001"));
                padded.resize(MAX_MESSAGE_BYTES + 1, b' ');
                padded
            },
        ),
        unreadable(C::MessageNotJson, "", "bytes that are not JSON", "", "send one JSON object", || {
            b"{\"not\": \"json\"".to_vec()
        }),
        unreadable(C::MessageNotJson, "", "bytes that are not UTF-8", "not UTF-8", "encode as UTF-8", || {
            b"{\"request_id\": \"\xff\xfe\"}".to_vec()
        }),
        unreadable(
            C::MessageNotJson,
            "",
            "an object that says a key twice",
            "occurs twice",
            "say every key once",
            || br#"{"request_id": "req-twice-001", "request_id": "req-twice-002"}"#.to_vec(),
        ),
        unreadable(
            C::SchemaInvalid,
            "/payloadType",
            "an envelope that was signed as something else",
            "application/vnd.modelfactory.request+json",
            "sign with the payload type of requests",
            || br#"{"payloadType": "text/plain", "payload": "e30=", "signatures": [{"sig": "AA=="}]}"#.to_vec(),
        ),
    ]
}

fn without(id: &str, field: &str) -> Vec<u8> {
    let mut request = ask(id);
    request.as_object_mut().unwrap().remove(field).unwrap();
    bytes(&request)
}

fn fields() -> Vec<Row> {
    vec![
        refused(
            C::SchemaVersionUnsupported,
            "/schema_version",
            "a schema version of the future",
            "learning.mf_train_build_request.v0",
            "send a version that this release knows",
            || ask_with("req-version-1", "schema_version", json!("learning.mf_train_build_request.v9")),
        ),
        unreadable(C::RequestIdInvalid, "/request_id", "a request id with a slash", "does not match", MEND, || {
            ask_with("req/slash/001", "request_id", json!("req/slash/001"))
        }),
        refused(C::IntentKindUnsupported, "/intent_kind", "an intent that nobody knows", "", MEND, || {
            ask_with("req-intent-01", "intent_kind", json!("retrain_everything"))
        }),
        refused(
            C::RunScopeInvalid,
            "/platform_run_id",
            "a platform run id that climbs out of its folder",
            "",
            MEND,
            || ask_with("req-scope-001", "platform_run_id", json!("../etc")),
        ),
        refused(
            C::ManifestRefMissing,
            "/dataset_manifest_refs",
            "an empty list of manifests",
            "at least one",
            MEND,
            || ask_with("req-nomani-01", "dataset_manifest_refs", json!([])),
        ),
        refused(C::TrainConfigMissing, "/training_config_ref", "no training profile", "required", MEND, || {
            without("req-noconf-01", "training_config_ref")
        }),
        refused(
            C::GovernanceProfileMissing,
            "/governance_profile_ref",
            "a governance profile of white space",
            "must not be empty",
            MEND,
            || ask_with("req-nogov-001", "governance_profile_ref", json!("  ")),
        ),
        refused(C::RequesterMissing, "/requester_principal", "no requester", "required", MEND, || {
            without("req-nobody-01", "requester_principal")
        }),
        refused(
            C::TargetScopeInvalid,
            "/target_scope/bundle_slot",
            "a bundle slot that would forge a scope key",
            "does not match",
            MEND,
            || {
                let scope = json!({"environment": "test", "mode": "fraud", "bundle_slot": "primary/other"});
                ask_with("req-slot-0001", "target_scope", scope)
            },
        ),
        refused(C::PolicyRevisionMissing, "/policy_revision", "no policy revision", "required", MEND, || {
            without("req-nopol-001", "policy_revision")
        }),
        refused(C::ConfigRevisionMissing, "/config_revision", "no configuration revision", "required", MEND, || {
            without("req-norev-001", "config_revision")
        }),
        refused(C::CodeReleaseMissing, "/mf_code_release_id", "no code release", "required", MEND, || {
            without("req-norel-001", "mf_code_release_id")
        }),
        refused(C::SchemaInvalid, "/priority", "a field that nobody knows", "not known", MEND, || {
            ask_with("req-field-001", "priority", json!(9))
        }),
        refused(C::SchemaInvalid, "/reason", "a cancel command without a reason", "required", MEND, || {
            let mut command: Value =
                serde_json::from_slice(&super::stage::command("cancel", "cmd-noreason", &format!("tr_{:032x}", 1)))
                    .unwrap();
            command.as_object_mut().unwrap().remove("reason");
            bytes(&command)
        }),
    ]
}

fn references() -> Vec<Row> {
    const ALLOWED: &str = "name a pinned object that the operator allows, or ask the operator";
    let profile = |cause, says, record| refused(C::RefNotAllowed, "/training_config_ref", cause, says, ALLOWED, record);
    vec![
        profile("a reference to file:///etc/passwd", "outside the operator's allow-list", || {
            ask_with("req-passwd-01", "training_config_ref", json!("file:///etc/passwd"))
        }),
        profile("a reference to a link-local address", "the scheme must be file, s3, gs or az", || {
            ask_with("req-linkloc-1", "training_config_ref", json!("http://169.254.169.254/latest/meta-data/iam"))
        }),
        profile("a link-local address in a bucket's place", "outside the operator's allow-list", || {
            ask_with("req-linkloc-2", "training_config_ref", json!("s3://169.254.169.254/meta-data/iam.json"))
        }),
        profile("a reference with .. in it", "must not contain . or .. segments", || {
            ask_with("req-dots-0001", "training_config_ref", json!("profiles/../../../etc/passwd"))
        }),
        profile("a training profile that is a link out of the allowed folders", "leads out of the allowed", || {
            ask_with("req-linkout-1", "training_config_ref", json!(super::inputs::link_out("link.yaml")))
        }),
        refused(
            C::RefNotAllowed,
            "/dataset_manifest_refs/1",
            "a manifest below a folder that is a link out of the allowed folders",
            "leads out of the allowed folders",
            ALLOWED,
            || {
                let data = crate::support::data();
                let _ = std::os::unix::fs::symlink("/etc", data.folder.join("ofs/etc"));
                ask_with("req-linkout-2", "dataset_manifest_refs", json!([data.inputs.manifest, "ofs/etc/passwd"]))
            },
        ),
        refused(
            C::RefNotAllowed,
            "/training_config_ref",
            "a reference outside the operator's allow-list",
            "outside the operator's allow-list",
            ALLOWED,
            || ask_with("req-outside-1", "training_config_ref", json!("s3://elsewhere/training.yaml")),
        ),
        refused(
            C::RefNotAllowed,
            "/dataset_manifest_refs/0",
            "a reference to whatever is latest",
            "not an alias such as latest",
            ALLOWED,
            || ask_with("req-latest-01", "dataset_manifest_refs", json!(["ofs/manifests/latest.json"])),
        ),
    ]
}

fn foreign_header() -> Row {
    Row {
        code: C::MessageUnreadable,
        cause: "a good request beside a header whose name is not UTF-8",
        brought: Bring::Scenario(|stage| stage.bring_with_foreign_header(bytes(&ask("req-header-01"))).boxed_local()),
        leaves: Leaves::Refusal { outcome: "REJECTED", pointer: "", says: "its headers cannot be read", emits: false },
        next: "send the request without that header",
    }
}

/// The process refuses before it reads anything.
fn boundaries() -> Vec<Row> {
    let row = |cause, document| Row {
        code: C::OwnershipBoundaryViolation,
        cause,
        brought: Bring::Boundaries(document),
        leaves: Leaves::NoStart,
        next: "the operator configures the platform's own document",
    };
    vec![
        row(
            "worker and `submit` under a boundaries document that does not name mf",
            "schema_version: platform.ownership_boundaries.v0\nowners: {ofs: {outputs: [dataset_manifest]}}\n",
        ),
        row(
            "worker and `submit` under a boundaries document that gives bundle publications to somebody else",
            "schema_version: platform.ownership_boundaries.v0\n\
             owners: {mf: {outputs: [eval_report]}, mpr: {outputs: [bundle_publication]}}\n",
        ),
    ]
}
