//! Receipts of publications: any worker writes them once a run is PUBLISHED, always with the same bytes.

use crate::checker::{check as violations, collect};
use crate::support::{World, confirmed_by_registry, registry_event, request, sql, turn};
use model_factory::adapters::kafka::Inbound;
use model_factory::adapters::ledger::RunRecord;
use model_factory::domain::contract::{SchemaName, check};
use model_factory::domain::identity::Digest;
use model_factory::domain::run::{RegistryReply, State};
use serde_json::{Value, json};
use std::path::PathBuf;

const ID: &str = "req-receipt-0001";
const OTHER: &str = "req-receipt-0002";

/// Publishes a run until the broker has acknowledged the record; returns the record.
async fn announced(world: &World) -> Inbound {
    world.send(&[request(ID).to_string().into_bytes()]).await;
    world.admit(1).await;
    world.run_until_idle(2).await;
    world.drain().await;
    world.publications(1).await.remove(0)
}

/// Admits a run of another meaning.
async fn another(world: &World) {
    let mut other = request(OTHER);
    other["config_revision"] = json!("other");
    world.send(&[other.to_string().into_bytes()]).await;
    world.admit(1).await;
}

async fn run(world: &World) -> RunRecord {
    world.run(ID).await
}

async fn path(world: &World) -> PathBuf {
    let run = run(world).await;
    let folder = format!("evidence/{}/mf/train_runs/{}", run.request.platform_run_id, run.run_id);
    world.folder.path().join(folder).join("publish/publish_receipt.json")
}

/// The receipt in the store, found by the reference in the run's row.
async fn receipt(world: &World) -> Value {
    let run = run(world).await;
    let at = run.refs.get("publish_receipt").expect("the ledger names the receipt");
    let bytes = std::fs::read(world.folder.path().join("evidence").join(&at.reference)).unwrap();
    assert_eq!(Digest::of(&bytes), at.sha256);
    let receipt = serde_json::from_slice(&bytes).unwrap();
    check(SchemaName::PublishReceipt, &receipt).unwrap();
    receipt
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_published_run_gets_a_receipt_with_the_coordinates_of_its_record_and_every_writer_writes_the_same() {
    let world = World::new().await;
    let record = announced(&world).await;
    let published = run(&world).await;
    assert_eq!(published.state, State::Published);
    assert!(!path(&world).await.exists(), "no worker has had a turn");

    world.run_until_idle(1).await;
    let publication: Value = serde_json::from_slice(&record.value).unwrap();
    let written = receipt(&world).await;
    assert_eq!(
        written["record"],
        json!({
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "event_id": record.headers["ce_id"],
            "sha256": Digest::of(&record.value),
        })
    );
    for field in ["run_id", "bundle_id", "bundle_version", "bundle_ref", "bundle_digest", "scope_key"] {
        assert_eq!(written[field], publication[field], "{field}");
    }
    assert_eq!(written["confirmed"], json!({"by": "broker"}));
    let after = run(&world).await;
    assert_eq!((after.state, after.fence, after.reason_code), (State::Published, published.fence, None));

    // A second worker, as after the first died between the store and the ledger.
    let first = std::fs::read(path(&world).await).unwrap();
    sql(&world.config.ledger.url, &["UPDATE runs SET refs = refs - 'publish_receipt', available_at = now()"]).await;
    let another = world.runner("another-worker", 1).await;
    let (_stop, shutdown) = tokio::sync::watch::channel(false);
    turn(&another, &shutdown).await;
    assert_eq!(receipt(&world).await, written);
    assert!(std::fs::read(path(&world).await).unwrap() == first);
    assert_eq!(run(&world).await.reason_code, None);
    assert_eq!(violations(&collect(&world).await), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_registry_confirms_the_receipt_waits_for_its_reply_and_names_it() {
    let mut world = World::new().await;
    world.ledger = world.ledger.publishing(&confirmed_by_registry(900));
    let record = announced(&world).await;
    world.run_until_idle(1).await;
    assert_eq!(run(&world).await.state, State::PublishPending);
    assert!(!path(&world).await.exists(), "acknowledged, and not confirmed");
    world
        .send_registry_events(&[registry_event(&record.value, "BUNDLE_PUBLISHED", "reg-41").to_string().into_bytes()])
        .await;
    assert!(matches!(world.read_registry_events(1).await[..], [RegistryReply::Published]));
    world.run_until_idle(1).await;
    assert_eq!(receipt(&world).await["confirmed"], json!({"by": "registry", "registry_event_id": "reg-41"}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_that_cannot_be_written_now_is_written_later_and_holds_nobody_up() {
    let world = World::new().await;
    announced(&world).await;
    let obstacle = path(&world).await;
    std::fs::create_dir_all(&obstacle).unwrap();
    another(&world).await;
    world.run_until_idle(2).await;
    let waits = run(&world).await;
    assert_eq!((waits.state, waits.reason_code), (State::Published, None));
    assert!(!waits.refs.contains_key("publish_receipt"));
    let other = world.run(OTHER).await;
    assert_eq!(other.state, State::PublishPending, "{:?}", other.reason_message);

    std::fs::remove_dir(&obstacle).unwrap();
    world.run_until_idle(1).await;
    assert!(!obstacle.exists(), "a receipt that could not be written waits before the next attempt");
    sql(&world.config.ledger.url, &["UPDATE runs SET available_at = now() WHERE state = 'PUBLISHED'"]).await;
    world.run_until_idle(1).await;
    receipt(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_whose_announcement_is_gone_holds_up_no_other_receipt() {
    let world = World::new().await;
    announced(&world).await;
    sql(&world.config.ledger.url, &["UPDATE runs SET published_offset = published_offset + 1000"]).await;
    another(&world).await;
    // The broken row comes first in each turn.
    sql(
        &world.config.ledger.url,
        &["UPDATE runs SET available_at = now() - interval '1 day' WHERE state = 'PUBLISHED'"],
    )
    .await;
    world.run_until_idle(2).await;
    world.drain().await;
    sql(
        &world.config.ledger.url,
        &["UPDATE runs SET available_at = now() - interval '1 day' WHERE published_offset >= 1000"],
    )
    .await;
    world.run_until_idle(1).await;
    let other = world.run(OTHER).await;
    assert_eq!(other.state, State::Published, "{:?}", other.reason_message);
    assert!(other.refs.contains_key("publish_receipt"));
    let broken = run(&world).await;
    assert!(!broken.refs.contains_key("publish_receipt") && !path(&world).await.exists());
}
