//! The page about a check, and the documents that an auditor has besides the bundle.

use super::signed::{Signed, Tampered, bundle, verifier};
use crate::support::request;
use model_factory::adapters::signing::{PrivateKey, RequesterPrivateKey};
use model_factory::domain::contract::{BundleManifest, SchemaName, schema_text};
use model_factory::domain::identity::Digest;
use model_factory::tools::verify::{Expected, PageCircumstances, Verdict, Verification, Verified, page};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

fn example(schema: SchemaName) -> Value {
    let text: Value = serde_json::from_str(schema_text(schema)).unwrap();
    text["examples"][0].clone()
}

/// The receipt of the bundle's publication, as a worker would have written it.
fn receipt(about: &(Verification, Option<Verified>), manifest: Digest) -> Value {
    let plan = &about.1.as_ref().unwrap().plan;
    let mut receipt = example(SchemaName::PublishReceipt);
    receipt["run_id"] = json!(plan.run_id);
    receipt["bundle_id"] = json!(about.0.bundle_id);
    receipt["bundle_version"] = json!(about.0.bundle_version);
    receipt["bundle_ref"] = json!(format!("{}/mf/train_runs/{}/bundle", plan.platform_run_id, plan.run_id));
    receipt["bundle_digest"] = json!(manifest);
    receipt["scope_key"] = json!(plan.target_scope.scope_key());
    receipt["confirmed"] = json!({"by": "registry", "registry_event_id": "reg-1"});
    receipt
}

fn event(receipt: &Value) -> Value {
    json!({"registry_event_id": "reg-1", "event_type": "BUNDLE_PUBLISHED", "scope_key": receipt["scope_key"],
           "bundle_ref": receipt["bundle_ref"], "actor": "jane.doe", "ts_utc": "2026-03-02T09:30:00Z", "evidence_refs": []})
}

struct Given {
    requester: RequesterPrivateKey,
    receipt: Value,
    event: Value,
    expected: Expected,
}

async fn given(signed: &Signed) -> Given {
    let expected = Expected { public_key: Some(signed.key.public()), ..Expected::default() };
    let about = verifier().open(&signed.folder, &expected).await;
    let receipt = receipt(&about, Tampered::copy(&signed.folder).digest(BundleManifest::FILE));
    let requester = RequesterPrivateKey::P256(PrivateKey::generate());
    let event = event(&receipt);
    let expected = Expected {
        receipt: Some(receipt.to_string().into_bytes()),
        request: Some(requester.seal(request("req-audit-0001").to_string().as_bytes())),
        requester_key: Some(requester.public()),
        registry_event: Some(event.to_string().into_bytes()),
        ..expected
    };
    Given { requester, receipt, event, expected }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_says_who_made_and_approved_a_bundle_and_what_nobody_looked_at() {
    let signed = bundle().await;
    let Given { expected, .. } = given(signed).await;
    let (verification, verified) = verifier().open(&signed.folder, &expected).await;
    assert_eq!(verification.verdict, Verdict::Verified, "{}", verification.sentence);
    assert_eq!(verification.checked.len(), 15);
    let page_of = |verification: &Verification, verified: Option<&Verified>, expected: &Expected| {
        let at = "2026-03-03T10:00:00Z".parse().unwrap();
        let circumstances = PageCircumstances { at, folder: &signed.folder, program_sha256: Digest::of(b"program") };
        page(verification, verified, expected, &circumstances)
    };
    let all = page_of(&verification, verified.as_ref(), &expected);
    for part in [
        "<strong>VERIFIED</strong> signed by the key ",
        "2026-03-03T10:00:00Z, in the folder ",
        &Digest::of(b"program").to_string(),
        "tests, in the request req-audit-0001, signed with the given requester key",
        "jane.doe says BUNDLE_PUBLISHED in event reg-1, at 2026-03-02 09:30:00 UTC",
        "the receipt says: record ",
        "confirmed by the registry&#39;s event reg-1",
        "the trainer hessboost of the release git:abc",
        &signed.key.public().hint().to_string(),
    ] {
        assert!(all.contains(&part.replace("&#39;", "'")), "{part}");
    }
    assert_eq!((all.matches("✓ true").count(), all.matches("✗ false").count()), (15, 0));

    let alone = Expected { allow_unsigned: true, ..Expected::default() };
    let (verification, verified) = verifier().open(&signed.folder, &alone).await;
    let page = page_of(&verification, verified.as_ref(), &alone);
    assert!(page.contains("verdict open") && page.contains("nobody's signature was checked"));
    assert_eq!((page.matches("✓ true").count(), page.matches("– not known").count()), (11, 1));
    assert_eq!(page.matches("was not given to this check").count(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_is_about_something_else_is_named() {
    let signed = bundle().await;
    let Given { requester, receipt, event, expected } = given(signed).await;
    let with = |value: &Value, name: &str, changed: Value| {
        let mut value = value.clone();
        value[name] = changed;
        Some(value.to_string().into_bytes())
    };
    let mut other = request("req-audit-0001");
    other["config_revision"] = json!("c2");
    let cases = [
        (
            Expected { receipt: with(&receipt, "bundle_id", json!(Digest::of(b"x"))), ..expected.clone() },
            "another bundle id",
        ),
        (Expected { receipt: with(&receipt, "scope_key", json!("a/b/c")), ..expected.clone() }, "another scope"),
        (Expected { receipt: with(&receipt, "approved", json!(true)), ..expected.clone() }, "is not known"),
        (
            Expected { request: Some(requester.seal(other.to_string().as_bytes())), ..expected.clone() },
            "it asks for the run tr_",
        ),
        (
            Expected { request: Some(request("req-audit-0001").to_string().into_bytes()), ..expected.clone() },
            "it is not signed, and a requester key was given",
        ),
        (
            Expected {
                requester_key: Some(RequesterPrivateKey::P256(PrivateKey::generate()).public()),
                ..expected.clone()
            },
            "did not sign it",
        ),
        (
            Expected { registry_event: with(&event, "bundle_ref", json!("x/bundle")), ..expected.clone() },
            "another bundle",
        ),
        (
            Expected { registry_event: with(&event, "event_type", json!("BUNDLE_REJECTED")), ..expected.clone() },
            "BUNDLE_REJECTED",
        ),
        (
            Expected { registry_event: with(&event, "registry_event_id", json!("reg-2")), ..expected.clone() },
            "another event, reg-1",
        ),
    ];
    for (expected, says) in cases {
        let found = verifier().verify(&signed.folder, &expected).await;
        assert!(!found.intact && found.sentence.contains(says), "{says}: {}", found.sentence);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_writes_the_page_whatever_the_verdict_is() {
    let signed = bundle().await;
    let Given { expected, .. } = given(signed).await;
    let copy = Tampered::copy(&signed.folder);
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = files.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let run = |page: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_model-factory"));
        command.current_dir(files.path()).arg("verify").arg(copy.path()).args(["--report", page]);
        command.arg("--public-key").arg(file("key", signed.key.public().to_pem().as_bytes()));
        command.arg("--receipt").arg(file("receipt", expected.receipt.as_ref().unwrap()));
        command.arg("--request").arg(file("request", expected.request.as_ref().unwrap()));
        command.arg("--requester-key").arg(file("who", expected.requester_key.as_ref().unwrap().to_pem().as_bytes()));
        command.arg("--registry-event").arg(file("event", expected.registry_event.as_ref().unwrap()));
        let output = command.env_clear().output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said, fs::read_to_string(files.path().join(page)).unwrap())
    };
    let (status, said, page) = run("good.html");
    assert_eq!(status, Some(0), "{said}");
    assert!(page.contains("verdict pass") && page.contains("What the model had to reach"));
    copy.flip("model_card.md");
    let (status, said, page) = run("bad.html");
    assert_eq!(status, Some(1), "{said}");
    assert!(page.contains("verdict fail") && page.contains("model_card.md has digest"));
    assert_eq!(page.matches("✗ false").count(), 1);
}
