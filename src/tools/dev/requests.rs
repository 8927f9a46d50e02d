//! The demo's messages, byte for byte, and the expected outcome of each.

use super::transactions::DemoInputs;
use crate::domain::run::FailureCode;
use serde_json::{Value, json};

#[derive(Debug, Clone)]
pub struct DemoRequest {
    pub name: &'static str,
    /// `None` if the bytes are no request.
    pub request_id: Option<&'static str>,
    pub bytes: Vec<u8>,
    pub fate: Fate,
}

/// The expected outcome of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The message's run is published.
    Published,
    /// The message repeats an earlier request, with the same id.
    DuplicateRequest,
    /// The message has a new id and the meaning of an earlier request.
    DuplicateRun,
    /// The message repeats the id of an earlier request, but its content differs.
    Conflict,
    /// The message goes to the dead-letter topic with this code.
    Rejected(FailureCode),
    /// The message's run ends in FAIL with this code.
    Fails(FailureCode),
}

/// Builds the messages, in the order in which they are sent.
pub fn demo_requests(inputs: &DemoInputs) -> Vec<DemoRequest> {
    let request = |name, id, change: Option<(&str, Value)>, fate| {
        let mut request = json!({
            "schema_version": "learning.mf_train_build_request.v0",
            "request_id": id,
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
        });
        if let Some((field, value)) = change {
            request[field] = value;
        }
        DemoRequest { name, request_id: Some(id), bytes: request.to_string().into_bytes(), fate }
    };
    let manifest = &inputs.manifest;
    let same_meaning = ("dataset_manifest_refs", json!([format!("  {manifest} "), manifest]));
    let another_meaning = ("config_revision", json!("demo-v2"));
    let unknown_field = ("publish_alowed", json!(true));
    let strict_gate = ("governance_profile_ref", json!(inputs.strict_governance_profile));
    let leaky_data = ("dataset_manifest_refs", json!([inputs.leaky_manifest]));
    let schema_invalid = Fate::Rejected(FailureCode::SchemaInvalid);
    let leakage = Fate::Fails(FailureCode::LeakageGuardViolation);
    vec![
        request("a good request", "demo-good-0001", None, Fate::Published),
        request("the same again", "demo-good-0001", None, Fate::DuplicateRequest),
        request("the same meaning, another id", "demo-good-0002", Some(same_meaning), Fate::DuplicateRun),
        request("the same id, another meaning", "demo-good-0001", Some(another_meaning), Fate::Conflict),
        DemoRequest {
            name: "not JSON",
            request_id: None,
            bytes: br#"{"schema_version": "learning.mf_train_build_request.v0", "request_id": "demo-bro"#.to_vec(),
            fate: Fate::Rejected(FailureCode::MessageNotJson),
        },
        request("an unknown field", "demo-typo-0001", Some(unknown_field), schema_invalid),
        request("a gate that is out of reach", "demo-gate-0001", Some(strict_gate), Fate::Fails(FailureCode::GateFail)),
        request("features from the future", "demo-leak-0001", Some(leaky_data), leakage),
    ]
}
