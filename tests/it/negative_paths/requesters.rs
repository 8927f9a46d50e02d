//! Requesters who may not ask, or not for this; signatures that are missing or forged.

use super::policy::SIGNER;
use super::row::{Bring, Leaves, Row, ends, refused};
use super::stage::{Brought, Stage, ask, ask_with, bytes, command};
use crate::support::event;
use futures::FutureExt as _;
use model_factory::adapters::signing::{PrivateKey, RequesterPrivateKey};
use model_factory::domain::run::{FailureCode as C, Outcome};
use serde_json::{Value, json};

fn request_of(principal: &str, id: &str) -> Value {
    let mut request = ask(id);
    request["requester_principal"] = json!(principal);
    request
}

fn changed(principal: &str, id: &str, field: &str, value: Value) -> Vec<u8> {
    let mut request = request_of(principal, id);
    request[field] = value;
    bytes(&request)
}

/// A good signature over another request of the same requester.
fn forged() -> Vec<u8> {
    let sealed = |request: &Value| -> Value { serde_json::from_slice(&SIGNER.seal(&bytes(request))).unwrap() };
    let mut forged = sealed(&request_of("signer", "req-forged-01"));
    let mut other = request_of("signer", "req-forged-01");
    other["policy_revision"] = json!("p2");
    forged["payload"] = sealed(&other)["payload"].clone();
    bytes(&forged)
}

const ASK: &str = "ask the operator for the right, or for what is allowed";
const SIGN: &str = "sign the bytes that are sent with the key that the operator knows";

pub fn rows() -> Vec<Row> {
    let mut rows = rights();
    rows.extend(signatures());
    // Before the scenarios that leave runs in the queue.
    rows.push(ends(
        C::RequesterNotAllowed,
        "a governance profile that claims to be the one whose digest the policy names",
        "nobody who asked for this run may use",
        ASK,
        || bytes(&request_of("pinned", "req-object-003")),
    ));
    rows.push(Row {
        code: C::RunUnknown,
        cause: "a cancel command for a run of a scope that its requester has no right to",
        brought: Bring::Scenario(|stage| foreign_run(stage).boxed_local()),
        leaves: Leaves::Refusal {
            outcome: "COMMAND_REJECTED",
            pointer: "/run_id",
            says: "to which \"evaluator\" may do this",
            emits: true,
        },
        next: "look the run id up in the lifecycle events",
    });
    rows.push(Row {
        code: C::QuotaExceeded,
        cause: "a request for one run more than its requester may have in flight",
        brought: Bring::Scenario(|stage| one_too_many(stage).boxed_local()),
        leaves: Leaves::Refusal {
            outcome: "REJECTED",
            pointer: "/requester_principal",
            says: "1 runs are queued or worked on, and 1 may be",
            emits: true,
        },
        next: "wait until a run ends, send the same request again",
    });
    rows
}

fn rights() -> Vec<Row> {
    let refused = |pointer, cause, says, record| refused(C::RequesterNotAllowed, pointer, cause, says, ASK, record);
    vec![
        refused("/requester_principal", "a requester whom the policy does not know", "does not know", || {
            bytes(&request_of("stranger", "req-stranger1"))
        }),
        refused("/requester_principal", "a requester who comes by a topic of others", "by the topic", || {
            bytes(&request_of("elsewhere", "req-topic-001"))
        }),
        refused(
            "/data/requester_principal",
            "a CloudEvent of a requester whom the policy does not know",
            "know",
            || bytes(&event("train_build_request", &request_of("stranger", "req-stranger2"))),
        ),
        refused("/intent_kind", "an intent that the requester may not ask for", "the intent baseline_train", || {
            bytes(&request_of("evaluator", "req-right-001"))
        }),
        refused("/target_scope", "a scope that the requester may not ask for", "the scope test/fraud/primary", || {
            changed("evaluator", "req-right-002", "intent_kind", json!("candidate_eval"))
        }),
        refused("/target_scope/tenant_id", "a tenant that the requester may not ask for", "the tenant other", || {
            let scope = json!({"environment": "test", "mode": "fraud", "bundle_slot": "primary", "tenant_id": "other"});
            changed("trainer", "req-right-003", "target_scope", scope)
        }),
        refused("/publish_allowed", "publication by a requester who may only train", "publication", || {
            changed("trainer", "req-right-004", "publish_allowed", json!(true))
        }),
        refused("/dataset_manifest_refs/0", "a manifest that the requester may not read", "the manifest", || {
            changed("narrow", "req-object-001", "dataset_manifest_refs", json!(["elsewhere/manifest.json"]))
        }),
        refused(
            "/training_config_ref",
            "a training profile that the requester may not use",
            "the training profile",
            || changed("narrow", "req-object-002", "dataset_manifest_refs", json!(["ofs/manifests/anything.json"])),
        ),
        refused("/requester_principal", "a command that the requester may not give", "have bundles announced", || {
            let mut command: Value = serde_json::from_slice(&command(
                "publish_retry",
                "cmd-right-01",
                "tr_00000000000000000000000000000001",
            ))
            .unwrap();
            command["requester_principal"] = json!("evaluator");
            bytes(&command)
        }),
    ]
}

fn signatures() -> Vec<Row> {
    let at = |pointer, cause, says, record| refused(C::SignatureInvalid, pointer, cause, says, SIGN, record);
    let refused = |cause, says, record| at("/payload", cause, says, record);
    vec![
        at("", "a request without the signature that the policy wants", "must be signed", || {
            bytes(&request_of("signer", "req-unsigned1"))
        }),
        refused("a good signature put over another request", "made a signature over these bytes", forged),
        refused("a request signed with somebody else's key", "made a signature over these bytes", || {
            let other = RequesterPrivateKey::P256(PrivateKey::generate());
            other.seal(&bytes(&request_of("signer", "req-otherkey1")))
        }),
        refused("a signed request of a requester whose key the policy does not hold", "holds no key", || {
            SIGNER.seal(&ask_with("req-nokey-001", "policy_revision", json!("p3")))
        }),
        at("/data/payload", "a CloudEvent around a signature over another request", "over these bytes", || {
            bytes(&event("train_build_request", &serde_json::from_slice(&forged()).unwrap()))
        }),
    ]
}

async fn foreign_run(stage: &mut Stage) -> Brought {
    let queued = stage.bring(&bytes(&ask("req-foreign-1"))).await;
    let mut order: Value =
        serde_json::from_slice(&command("cancel", "cmd-foreign-1", queued.run_id().as_str())).unwrap();
    order["requester_principal"] = json!("evaluator");
    let refused = stage.bring(&bytes(&order)).await;
    let run = stage.world.ledger.run(&queued.run_id()).await.unwrap().unwrap();
    assert_eq!(run.state, model_factory::domain::run::State::Queued, "it stays as it was");
    refused
}

async fn one_too_many(stage: &mut Stage) -> Brought {
    let first = stage.bring(&bytes(&request_of("bounded", "req-bounded-1"))).await;
    assert!(matches!(first.outcome, Outcome::Admitted { .. }), "{:?}", first.outcome);
    stage.bring(&bytes(&request_of("bounded", "req-bounded-2"))).await
}
