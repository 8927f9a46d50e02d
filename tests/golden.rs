//! Golden files: a message that was once accepted or refused stays so, with the same identity, code and pointer.
#![expect(clippy::unwrap_used, reason = "a test may fail with a panic")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model_factory::domain::contract::{
    ActKind, AllowList, AnomalyCode, AuditActs, BundleManifest, BundlePublication, CommandMessage, DatasetManifest,
    DecisionReport, EvalReport, GateReceipt, GovernanceProfile, LeakageReport, MAX_MESSAGE_BYTES, Message,
    PublishEligibility, PublishReceipt, Reconciliation, RunLifecycleEvent, SchemaName, SignedEnvelope,
    TrainBuildRequest, TrainPlan, TrainerJob, TrainerResult, TrainingProfile, parse, parse_accepted, schema_text,
};
use model_factory::domain::identity::near_key;
use model_factory::domain::run::{FailureCategory, FailureCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[derive(Deserialize)]
struct Cases<T> {
    cases: Vec<T>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rejected {
    why: String,
    text: Option<String>,
    merge: Option<Value>,
    /// Patch of a good event around the base request.
    event: Option<Value>,
    code: String,
    pointer: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Valid {
    why: String,
    merge: Value,
    run_id: String,
}

fn base() -> Value {
    serde_json::from_str(include_str!("golden/requests/base.json")).unwrap()
}

/// A JSON merge patch, RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let members = target.as_object_mut().unwrap();
    for (key, value) in patch {
        if value.is_null() {
            members.remove(key);
        } else {
            merge(members.entry(key).or_insert(Value::Null), value);
        }
    }
}

fn changed(patch: &Value) -> Vec<u8> {
    let mut message = base();
    merge(&mut message, patch);
    message.to_string().into_bytes()
}

fn event_around(data: &Value) -> Value {
    let event_type = "io.modelfactory.train_build_request";
    json!({"specversion": "1.0", "id": "1", "source": "/tests", "type": event_type, "data": data})
}

fn event_around_bytes(data: &[u8]) -> Value {
    let mut event = event_around(&Value::Null);
    event["data_base64"] = json!(STANDARD.encode(data));
    event
}

fn allow() -> AllowList {
    AllowList::new(["s3://fraud-platform".to_owned()], true)
}

fn request(bytes: &[u8]) -> TrainBuildRequest {
    match parse(bytes, &allow()).unwrap() {
        Message::Train(request) => std::sync::Arc::unwrap_or_clone(request),
        other => panic!("{other:?}"),
    }
}

#[test]
fn refused_messages_keep_their_code_and_pointer() {
    let golden: Cases<Rejected> = serde_json::from_str(include_str!("golden/requests/rejected.json")).unwrap();
    let mut codes = BTreeSet::new();
    for case in golden.cases {
        let bytes = match (case.text, case.merge, case.event) {
            (Some(text), None, None) => text.into_bytes(),
            (None, Some(patch), None) => changed(&patch),
            (None, None, Some(patch)) => {
                let mut event = event_around(&base());
                merge(&mut event, &patch);
                event.to_string().into_bytes()
            }
            _ => panic!("{}: one of text, merge and event", case.why),
        };
        let rejection = parse(&bytes, &allow()).expect_err(&case.why);
        let found = (rejection.code.as_str(), rejection.pointer.as_str());
        assert_eq!(found, (case.code.as_str(), case.pointer.as_str()), "{}: {}", case.why, rejection.message);
        assert!(!rejection.message.is_empty() && !rejection.message.contains(char::is_control), "{}", case.why);
        codes.insert(case.code);
    }
    let mut missing: BTreeSet<&str> = FailureCode::ALL
        .iter()
        .filter(|code| code.category() == FailureCategory::Request)
        .map(|code| code.as_str())
        .filter(|code| !codes.contains(*code))
        .collect();
    // Codes of configuration, policy and ledger; and of records that no golden file can hold.
    for elsewhere in [
        "OWNERSHIP_BOUNDARY_VIOLATION",
        "REQUESTER_NOT_ALLOWED",
        "SIGNATURE_INVALID",
        "QUOTA_EXCEEDED",
        "RUN_UNKNOWN",
        "MESSAGE_TOO_LARGE",
        "MESSAGE_UNREADABLE",
    ] {
        missing.remove(elsewhere);
    }
    assert!(missing.is_empty(), "no golden message for {missing:?}");
}

#[test]
fn limits_are_where_the_contract_says() {
    let code = |bytes: &[u8]| parse(bytes, &allow()).unwrap_err().code;
    let padded = |to: usize| {
        let mut bytes = base().to_string().into_bytes();
        bytes.resize(to, b' ');
        bytes
    };
    request(&padded(MAX_MESSAGE_BYTES));
    assert_eq!(code(&padded(MAX_MESSAGE_BYTES + 1)), FailureCode::MessageTooLarge);

    let nested = |levels: usize| format!("{{\"x\":{}1{}}}", "[".repeat(levels), "]".repeat(levels));
    assert_eq!(code(nested(30).as_bytes()), FailureCode::SchemaVersionUnsupported);
    assert_eq!(code(nested(32).as_bytes()), FailureCode::MessageNotJson);

    let revision = |bytes: usize| changed(&json!({"policy_revision": "p".repeat(bytes)}));
    request(&revision(4096));
    assert_eq!(code(&revision(4097)), FailureCode::SchemaInvalid);

    // An event counts as one level, and its base64 as a text of its own.
    let in_event = |levels: usize| event_around(&serde_json::from_str(&nested(levels)).unwrap()).to_string();
    assert_eq!(code(in_event(29).as_bytes()), FailureCode::SchemaVersionUnsupported);
    assert_eq!(code(in_event(31).as_bytes()), FailureCode::MessageNotJson);
    let in_base64 = |levels: usize| event_around_bytes(nested(levels).as_bytes()).to_string();
    assert_eq!(code(in_base64(30).as_bytes()), FailureCode::SchemaVersionUnsupported);
    assert_eq!(code(in_base64(32).as_bytes()), FailureCode::MessageNotJson);

    let manifests = |count: usize| changed(&json!({"dataset_manifest_refs": vec!["a/m.json"; count]}));
    request(&manifests(1000));
    assert_eq!(code(&manifests(1001)), FailureCode::SchemaInvalid);
    assert_eq!(code(b"{\"request_id\": \"\xff\"}"), FailureCode::MessageNotJson);
}

#[test]
fn accepted_messages_keep_their_run() {
    let golden: Cases<Valid> = serde_json::from_str(include_str!("golden/requests/valid.json")).unwrap();
    for case in golden.cases {
        let plain = request(&changed(&case.merge));
        assert_eq!(plain.run_key().run_id().as_str(), case.run_id, "{}", case.why);
        for (how, wrapped) in wrappings(&changed(&case.merge)) {
            assert_eq!(request(&wrapped), plain, "{}: {how}", case.why);
            assert_eq!(*parse_accepted(&wrapped).unwrap(), plain, "{}: {how}, kept", case.why);
        }
    }
}

/// The request in every wrapping, each with its name.
fn wrappings(plain: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let value: Value = serde_json::from_slice(plain).unwrap();
    let bytes = |value: Value| value.to_string().into_bytes();
    let signed = |payload: &[u8]| SignedEnvelope::seal(payload, b"of somebody", "");
    let event = bytes(event_around(&value));
    vec![
        ("as a structured CloudEvent", event.clone()),
        ("in an event's base64", bytes(event_around_bytes(plain))),
        ("in an envelope", signed(plain)),
        ("as an event in an envelope", signed(&event)),
        ("in an envelope in an event", bytes(event_around(&serde_json::from_slice(&signed(plain)).unwrap()))),
        ("in an envelope in an event's base64", bytes(event_around_bytes(&signed(plain)))),
    ]
}

/// Earlier releases accepted events and checked nothing but their data; the ledger holds such records.
#[test]
fn an_event_that_was_accepted_is_read_without_a_check_of_its_attributes() {
    let old = json!({"specversion": "1.0", "type": "t", "Whatever": 1.5, "data": base()});
    assert_eq!(*parse_accepted(old.to_string().as_bytes()).unwrap(), request(&changed(&json!({}))));
    parse(old.to_string().as_bytes(), &allow()).unwrap_err();
}

#[test]
fn requests_with_the_meaning_of_the_platforms_vectors_get_their_keys() {
    let golden: Value = serde_json::from_str(include_str!("golden/identity/run_keys.json")).unwrap();
    let mut parsed = 0;
    for vector in golden["vectors"].as_array().unwrap() {
        let mut message = base();
        merge(&mut message, &json!({"target_scope": {"environment": null, "mode": null, "bundle_slot": null}}));
        merge(&mut message, &vector["run_key_payload"]);
        // The identity function takes any text; some vectors hold what parsing refuses.
        if let Ok(Message::Train(request)) = parse(message.to_string().as_bytes(), &allow()) {
            assert_eq!(request.run_key().to_string(), vector["train_run_key"].as_str().unwrap(), "{}", vector["name"]);
            for (how, wrapped) in wrappings(message.to_string().as_bytes()) {
                let Ok(Message::Train(same)) = parse(&wrapped, &allow()) else { panic!("{how}: {}", vector["name"]) };
                assert_eq!(
                    (same.run_key(), same.payload_digest()),
                    (request.run_key(), request.payload_digest()),
                    "{how}"
                );
                assert_eq!(near_key(&same.meaning()), near_key(&request.meaning()), "{how}");
            }
            parsed += 1;
        }
    }
    assert!(parsed >= 6, "only {parsed} vectors can be parsed as requests");
}

#[test]
fn schemas_name_every_act_and_every_anomaly() {
    let schema: Value = serde_json::from_str(schema_text(SchemaName::AuditActs)).unwrap();
    let kinds: Vec<&str> = ActKind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(schema["properties"]["acts"]["items"]["properties"]["act"]["enum"], json!(kinds));
    let schema: Value = serde_json::from_str(schema_text(SchemaName::Reconciliation)).unwrap();
    let codes: Vec<&str> = AnomalyCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(schema["properties"]["anomalies"]["items"]["properties"]["code"]["enum"], json!(codes));
}

#[test]
fn types_and_schemas_know_the_same_fields() {
    fn both_ways<T: DeserializeOwned + serde::Serialize>(schema: SchemaName) {
        let text: Value = serde_json::from_str(schema_text(schema)).unwrap();
        let declared: BTreeSet<&String> = text["properties"].as_object().unwrap().keys().collect();
        let mut seen = BTreeSet::new();
        let examples = text["examples"].as_array().unwrap();
        for example in examples {
            let typed: T = serde_json::from_value(example.clone()).unwrap_or_else(|e| panic!("{schema:?}: {e}"));
            let back = serde_json::to_value(&typed).unwrap();
            for (key, value) in example.as_object().unwrap() {
                assert_eq!(back.get(key), Some(value), "{schema:?} {key}");
            }
            let unknown = back.as_object().unwrap().keys().filter(|key| !declared.contains(key)).collect::<Vec<_>>();
            assert!(unknown.is_empty(), "{schema:?} writes {unknown:?}");
            seen.extend(example.as_object().unwrap().keys().cloned());
        }
        let shown: BTreeSet<&String> = seen.iter().collect();
        let silent: Vec<_> = declared.difference(&shown).collect();
        assert!(silent.is_empty(), "{schema:?}: no example shows {silent:?}");
    }
    both_ways::<TrainBuildRequest>(SchemaName::TrainBuildRequest);
    both_ways::<RunLifecycleEvent>(SchemaName::RunLifecycle);
    both_ways::<BundlePublication>(SchemaName::BundlePublication);
    both_ways::<CommandMessage>(SchemaName::PublishRetry);
    both_ways::<CommandMessage>(SchemaName::Cancel);
    both_ways::<TrainPlan>(SchemaName::ResolvedTrainPlan);
    both_ways::<LeakageReport>(SchemaName::LeakageReport);
    both_ways::<EvalReport>(SchemaName::EvalReport);
    both_ways::<DecisionReport>(SchemaName::DecisionReport);
    both_ways::<GateReceipt>(SchemaName::GateReceipt);
    both_ways::<PublishEligibility>(SchemaName::PublishEligibility);
    both_ways::<PublishReceipt>(SchemaName::PublishReceipt);
    both_ways::<AuditActs>(SchemaName::AuditActs);
    both_ways::<Reconciliation>(SchemaName::Reconciliation);
    both_ways::<BundleManifest>(SchemaName::Bundle);
    both_ways::<DatasetManifest>(SchemaName::DatasetManifest);
    both_ways::<TrainerJob>(SchemaName::TrainerJob);
    both_ways::<TrainerResult>(SchemaName::TrainerResult);
    both_ways::<TrainingProfile>(SchemaName::TrainingProfile);
    both_ways::<GovernanceProfile>(SchemaName::GovernanceProfile);
}
