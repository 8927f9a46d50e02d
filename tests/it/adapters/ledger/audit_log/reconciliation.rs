//! `reconcile` counts real runs, names what does not add up, and keeps the document as evidence.

use crate::support::{World, request, sql};
use model_factory::domain::contract::{AnomalyCode, SchemaName, check};
use model_factory::domain::identity::Digest;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Exit status and printed document.
fn reconcile(world: &World, platform_run_id: &str, more: &[&str]) -> (Option<i32>, Value) {
    let arguments = [&["reconcile", platform_run_id, "--output", "json"], more].concat();
    let output = world.command(&arguments).output().unwrap();
    let said = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), said)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_platform_run_is_counted_and_what_does_not_add_up_is_named() {
    let world = World::new().await;
    let (good, mut again, mut conflict) = (request("req-count-01"), request("req-count-02"), request("req-count-01"));
    again["publish_allowed"] = json!(false);
    conflict["config_revision"] = json!("other");
    let mut failing = request("req-count-03");
    failing["governance_profile_ref"] = json!("profiles/governance_strict.yaml");
    let mut broken = request("req-count-04");
    broken["training_config_ref"] = json!("profiles/nowhere.yaml");
    let mut elsewhere = request("req-count-05");
    elsewhere["platform_run_id"] = json!("another_platform_run");
    let records = [good.clone(), good, again, conflict, failing, broken, elsewhere];
    world.send(&records.map(|value| value.to_string().into_bytes())).await;
    world.admit(7).await;
    let platform_run_id = request("x")["platform_run_id"].as_str().unwrap().to_owned();

    let (status, open) = reconcile(&world, &platform_run_id, &["--dry-run"]);
    assert_eq!((status, &open["document"]), (Some(1), &Value::Null), "three runs wait");
    assert_eq!(open["reconciliation"]["counters"]["run_open"], 3);

    world.run_until_idle(2).await;
    // The run whose profile is not there is tried again, until patience and attempts are used up.
    for _ in 0..3 {
        let due = "UPDATE runs SET available_at = now(), outage_tries = 1000 WHERE state = 'QUEUED'";
        sql(&world.config.ledger.url, &[due]).await;
        world.run_until_idle(2).await;
    }
    world.drain().await;
    world.run_until_idle(2).await;
    let (status, said) = reconcile(&world, &platform_run_id, &[]);
    let found = &said["reconciliation"];
    check(SchemaName::Reconciliation, found).unwrap();
    assert_eq!(found["anomalies"], json!([]));
    assert_eq!(status, Some(0));
    assert_eq!(
        found["counters"],
        json!({
            "train_requested": 3, "train_completed": 2, "eval_pass": 1, "eval_fail": 1, "bundle_published": 1,
            "run_failed": 1, "run_open": 0, "requests_accepted": 4, "requests_joined": 1, "requests_repeated": 1,
            "requests_conflicting": 1, "announcements_repeated": 0,
        })
    );
    let head = world.ledger.audit_head().await.unwrap();
    assert_eq!(found["as_of"], json!(head));
    let path = world.folder.path().join("evidence").join(said["document"]["ref"].as_str().unwrap());
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(said["document"]["sha256"], Digest::of(&bytes).to_string());
    assert_eq!(path.file_stem().unwrap().to_str(), said["document"]["sha256"].as_str());
    assert_eq!(&serde_json::from_slice::<Value>(&bytes).unwrap(), found);
    assert_eq!(reconcile(&world, &platform_run_id, &[]), (Some(0), said), "the same facts, the same document");

    // A document in place of another, beside the log. Steps may be pruned: the log still tells.
    let url = &world.config.ledger.url;
    let other =
        "UPDATE runs SET refs = jsonb_set(refs, '{eval_report,ref}', '\"elsewhere.json\"') WHERE state = 'PUBLISHED'";
    let back = "UPDATE runs SET refs = r.refs FROM kept r WHERE r.run_id = runs.run_id";
    sql(url, &["CREATE TABLE kept AS SELECT * FROM runs", other]).await;
    let (status, said) = reconcile(&world, &platform_run_id, &["--dry-run"]);
    assert_eq!(status, Some(1));
    assert_eq!(said["reconciliation"]["anomalies"].as_array().unwrap().len(), 1);
    assert_eq!(said["reconciliation"]["anomalies"][0]["code"], "EVIDENCE_NOT_LOGGED");
    sql(url, &[back]).await;
    assert_eq!(reconcile(&world, &platform_run_id, &["--dry-run"]).0, Some(0));

    // Changes by hand that no worker makes.
    sql(
        url,
        &[
            "UPDATE runs SET refs = refs - 'publish_receipt' - 'gate_receipt' WHERE state = 'PUBLISHED'",
            "DELETE FROM outbox WHERE seq = 1",
            "DELETE FROM transitions WHERE transition = 'PUBLISH'",
            "UPDATE outbox SET sent_at = NULL, sent_topic = NULL, sent_partition = NULL, sent_offset = NULL
             WHERE kind = 'PUBLICATION'",
        ],
    )
    .await;
    let (status, said) = reconcile(&world, &platform_run_id, &[]);
    let anomalies = said["reconciliation"]["anomalies"].as_array().unwrap();
    let codes: BTreeSet<&str> = anomalies.iter().map(|anomaly| anomaly["code"].as_str().unwrap()).collect();
    let expected = [
        AnomalyCode::AdmissionNotTold,
        AnomalyCode::StateNotExplained,
        AnomalyCode::EvidenceMissing,
        AnomalyCode::EvidenceNotLogged,
        AnomalyCode::NotAnnounced,
        AnomalyCode::ReceiptMissing,
    ];
    assert_eq!(codes, expected.iter().map(|code| code.as_str()).collect::<BTreeSet<_>>());
    assert_eq!(status, Some(1));
    let table = world.command(&["reconcile", &platform_run_id]).output().unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("bundle_published") && table.contains("RECEIPT_MISSING"), "{table}");

    let unknown = world.command(&["reconcile", "nobody's"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("knows no run of platform run"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_from_before_the_column_are_counted_too() {
    let world = World::new().await;
    world.send(&[request("req-before-01").to_string().into_bytes()]).await;
    world.admit(1).await;
    sql(&world.config.ledger.url, &["UPDATE runs SET platform_run_id = NULL"]).await;
    let platform_run_id = request("x")["platform_run_id"].as_str().unwrap().to_owned();
    let found = world.ledger.reconcile(&platform_run_id).await.unwrap().unwrap();
    assert_eq!((found.counters.train_requested, found.counters.run_open), (1, 1));
    assert!(world.ledger.reconcile("another").await.unwrap().is_none());
}
