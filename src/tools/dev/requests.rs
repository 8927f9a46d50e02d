//! The demo's messages, byte for byte, and the expected outcome of each.

use super::transactions::DemoInputs;
use crate::domain::run::FailureCode;
use serde_json::{Value, json};

#[derive(Debug, Clone)]
pub struct DemoRequest {
    pub name: &'static str,
    /// None where the bytes are no request.
    pub request_id: Option<&'static str>,
    pub bytes: Vec<u8>,
    pub fate: Fate,
}

/// The expected outcome of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Its run is published.
    Published,
    /// It is the same request again.
    DuplicateRequest,
    /// It means the same as an earlier one.
    DuplicateRun,
    /// It reuses an id with other content.
    Conflict,
    /// It goes to the dead letters with this code.
    Rejected(FailureCode),
    /// Its run fails with this code.
    Fails(FailureCode),
}

/// The messages, in the order in which they are sent.
pub fn demo_requests(inputs: &DemoInputs) -> Vec<DemoRequest> {
    let base = |request_id: &str| {
        json!({
            "schema_version": "learning.mf_train_build_request.v0",
            "request_id": request_id,
            "intent_kind": "baseline_train",
            "platform_run_id": inputs.platform_run_id,
            "dataset_manifest_refs": [inputs.manifest],
            "training_config_ref": inputs.training_profile,
            "governance_profile_ref": inputs.governance_profile,
            "requester_principal": "demo@risk-engineering",
            "target_scope": {"environment": "demo", "mode": "fraud", "bundle_slot": "primary"},
            "policy_revision": "mf-policy-v0",
            "config_revision": "demo-v1",
            "mf_code_release_id": concat!("model-factory-", env!("CARGO_PKG_VERSION")),
            "publish_allowed": true,
        })
    };
    let with = |request_id: &str, field: &str, value: Value| {
        let mut request = base(request_id);
        request[field] = value;
        request
    };
    let text = |value: &Value| value.to_string().into_bytes();
    let request = |name, id, bytes, fate| DemoRequest { name, request_id: Some(id), bytes, fate };
    let manifest = &inputs.manifest;
    let same_meaning = with("demo-good-0002", "dataset_manifest_refs", json!([format!("  {manifest} "), manifest]));
    vec![
        request("a good request", "demo-good-0001", text(&base("demo-good-0001")), Fate::Published),
        request("the same again", "demo-good-0001", text(&base("demo-good-0001")), Fate::DuplicateRequest),
        request("the same meaning, another id", "demo-good-0002", text(&same_meaning), Fate::DuplicateRun),
        request(
            "the same id, another meaning",
            "demo-good-0001",
            text(&with("demo-good-0001", "config_revision", json!("demo-v2"))),
            Fate::Conflict,
        ),
        DemoRequest {
            name: "not JSON",
            request_id: None,
            bytes: br#"{"schema_version": "learning.mf_train_build_request.v0", "request_id": "demo-bro"#.to_vec(),
            fate: Fate::Rejected(FailureCode::MessageNotJson),
        },
        request(
            "an unknown field",
            "demo-typo-0001",
            text(&with("demo-typo-0001", "publish_alowed", json!(true))),
            Fate::Rejected(FailureCode::SchemaInvalid),
        ),
        request(
            "a gate that is out of reach",
            "demo-gate-0001",
            text(&with("demo-gate-0001", "governance_profile_ref", json!(inputs.strict_governance_profile))),
            Fate::Fails(FailureCode::GateFail),
        ),
        request(
            "features from the future",
            "demo-leak-0001",
            text(&with("demo-leak-0001", "dataset_manifest_refs", json!([inputs.leaky_manifest]))),
            Fate::Fails(FailureCode::LeakageGuardViolation),
        ),
    ]
}
