//! One request becomes one published bundle.

use crate::support::{BOUND, World, request, turn};
use model_factory::domain::contract::{BundlePublication, EventType, SchemaName, check};
use model_factory::domain::identity::Digest;
use model_factory::domain::run::{FailureCode, Outcome, State};
use serde_json::{Value, json};

fn with(request_id: &str, field: &str, value: Value) -> Vec<u8> {
    let mut request = request(request_id);
    request[field] = value;
    request.to_string().into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_becomes_one_published_bundle_and_its_events_come_in_order() {
    let world = World::new().await;
    world.send(&[request("req-path-0001").to_string().into_bytes()]).await;
    let outcomes = world.admit(1).await;
    let Outcome::Admitted { run_id } = &outcomes[0] else { panic!("{outcomes:?}") };
    world.run_until_idle(2).await;
    let pending = world.ledger.run(run_id).await.unwrap().unwrap();
    assert_eq!((pending.state, pending.full_run_attempts), (State::PublishPending, 1), "{:?}", pending.reason_message);
    world.drain().await;

    let run = world.ledger.run(run_id).await.unwrap().unwrap();
    assert_eq!(run.state, State::Published);
    let publications = world.publications(1).await;
    let (topic, partition, offset) = run.published.unwrap();
    assert_eq!(
        (&topic, partition, offset),
        (&publications[0].topic, publications[0].partition, publications[0].offset)
    );

    let events = world.events(6).await;
    let types: Vec<(EventType, u64)> = events.iter().map(|(event, _)| (event.event_type, event.seq)).collect();
    assert_eq!(
        types,
        [
            (EventType::RequestAdmitted, 1),
            (EventType::RunStarted, 2),
            (EventType::RunEvalReady, 3),
            (EventType::RunGatePassed, 4),
            (EventType::PublishPending, 5),
            (EventType::PublishPublished, 6),
        ]
    );
    for (event, record) in &events {
        check(SchemaName::RunLifecycle, &serde_json::from_slice(&record.value).unwrap()).unwrap();
        let header = |name: &str| record.headers.get(name).map(String::as_str);
        assert_eq!(header("ce_specversion"), Some("1.0"));
        assert_eq!(header("ce_id"), Some(event.event_id.as_str()));
        assert_eq!(header("ce_type"), Some(format!("io.modelfactory.{}", event.event_type).as_str()));
        assert_eq!(header("ce_subject"), Some(run_id.as_str()));
        assert_eq!(header("content-type"), Some("application/json"));
        assert!(header("traceparent").unwrap().starts_with("00-0af7651916cd43dd8448eb211c80319c"));
    }
    let value: Value = serde_json::from_slice(&publications[0].value).unwrap();
    check(SchemaName::BundlePublication, &value).unwrap();
    let publication: BundlePublication = serde_json::from_value(value).unwrap();
    for artifact in &publication.artifacts {
        let path = world.folder.path().join("evidence").join(&publication.bundle_ref).join(&artifact.path);
        let bytes = std::fs::read(path).unwrap();
        assert_eq!((Digest::of(&bytes), bytes.len() as u64), (artifact.sha256, artifact.bytes), "{}", artifact.path);
    }
    assert_eq!(publications[0].key.as_deref(), Some(b"test/fraud/primary".as_slice()));
    for (role, schema) in [
        ("resolved_train_plan", SchemaName::ResolvedTrainPlan),
        ("leakage_report", SchemaName::LeakageReport),
        ("eval_report", SchemaName::EvalReport),
        ("gate_receipt", SchemaName::GateReceipt),
    ] {
        let bytes = std::fs::read(world.folder.path().join("evidence").join(&run.refs[role].reference)).unwrap();
        check(schema, &serde_json::from_slice(&bytes).unwrap()).unwrap_or_else(|error| panic!("{role}: {error}"));
    }
    let page = world.folder.path().join("evidence").join(&run.refs["report_page"].reference);
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains(run_id.as_str()) && page.contains("PASS"));
    assert_eq!(world.stdout(&["report", "req-path-0001", "--output", "-"]), page);
    let bundle = world.folder.path().join("evidence").join(&publication.bundle_ref);
    assert!(world.stdout(&["report", bundle.to_str().unwrap(), "--output", "-"]).contains("<h2>Curves</h2>"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duplicates_join_the_run_and_bad_messages_hold_up_no_others() {
    let world = World::new().await;
    let first = request("req-dup-0001").to_string().into_bytes();
    let reference = request("x")["dataset_manifest_refs"][0].as_str().unwrap().to_owned();
    let broken = b"{\"not\": \"json\"".to_vec();
    world
        .send(&[
            broken.clone(),
            first.clone(),
            first.clone(),
            with("req-dup-0002", "dataset_manifest_refs", json!([format!(" {reference}"), reference])),
            with("req-dup-0001", "config_revision", json!("c2")),
            Vec::new(),
        ])
        .await;
    let outcomes = world.admit(6).await;
    let Outcome::Admitted { run_id } = outcomes[1].clone() else { panic!("{outcomes:?}") };
    assert_eq!(outcomes[0], Outcome::Rejected { code: FailureCode::MessageNotJson });
    assert_eq!(outcomes[2], Outcome::DuplicateRequest { run_id: run_id.clone() });
    assert_eq!(outcomes[3], Outcome::DuplicateRun { run_id: run_id.clone() });
    assert_eq!(outcomes[4], Outcome::Conflict { run_id, differs: vec!["/config_revision".to_owned()] });
    assert_eq!(outcomes[5], Outcome::Rejected { code: FailureCode::MessageEmpty });
    world.drain().await;
    let letters = world.dead_letters(3).await;
    let codes: Vec<&str> = letters.iter().map(|letter| letter.headers["mf_code"].as_str()).collect();
    for code in ["MESSAGE_NOT_JSON", "REQUEST_ID_PAYLOAD_MISMATCH", "MESSAGE_EMPTY"] {
        assert!(codes.contains(&code), "{codes:?}");
    }
    let letter = letters.iter().find(|letter| letter.headers["mf_code"] == "MESSAGE_NOT_JSON").unwrap();
    assert_eq!(letter.value, broken);
    assert_eq!(letter.headers["mf_sha256"], Digest::of(&broken).to_string());
    assert_eq!(letter.headers["mf_source_topic"], world.config.kafka.topics.requests);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_move_only_after_the_ledger_has_decided() {
    let mut world = World::new().await;
    world.send(&[request("req-off-0001").to_string().into_bytes()]).await;
    // As if the worker died before it settled: another group reads the record again, and nothing changes.
    let admitted = world.admit(1).await;
    let settled = model_factory::adapters::kafka::KafkaSettings { from: None, ..world.config.kafka.clone() };
    world.config.kafka.group_id.push_str("-again");
    assert_eq!(world.admit(1).await, admitted);
    assert_eq!(world.drain().await, 1, "one event: request.admitted");
    // The group that settled the record does not get it again.
    let mut inbox = model_factory::adapters::kafka::Inbox::subscribe(&settled).await.unwrap();
    assert!(inbox.next_batch(10, std::time::Duration::from_secs(3)).await.unwrap().is_empty());
    inbox.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_never_committed_has_to_say_where_it_starts() {
    let mut world = World::new().await;
    world.config.kafka.from = None;
    let mut intake = world.intake().await;
    let refused = async {
        loop {
            if let Err(error) = intake.admit_once().await {
                return error.to_string();
            }
        }
    };
    let error = tokio::time::timeout(BOUND, refused).await.expect("a refusal to start");
    assert!(error.contains("--from earliest"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_gate_a_leak_and_bad_inputs_end_with_their_codes_and_publish_nothing() {
    let world = World::new().await;
    let inputs = &crate::support::data().inputs;
    world
        .send(&[
            with("req-end-0001", "governance_profile_ref", json!(inputs.strict_governance_profile)),
            with("req-end-0002", "dataset_manifest_refs", json!([inputs.leaky_manifest])),
            with("req-end-0003", "training_config_ref", json!("profiles/nowhere.yaml")),
            with("req-end-0004", "platform_run_id", json!("platform_other")),
            with("req-end-0005", "training_config_ref", json!(inputs.governance_profile)),
        ])
        .await;
    world.admit(5).await;
    // A profile that is not there may come later: its run is tried again after a pause.
    let runner = world.runner("runner-1", 2).await;
    let (_stop, shutdown) = tokio::sync::watch::channel(false);
    for _ in 0..5 {
        turn(&runner, &shutdown).await;
    }
    let ends = [
        ("req-end-0001", State::Fail, "GATE_FAIL"),
        ("req-end-0002", State::Fail, "LEAKAGE_GUARD_VIOLATION"),
        ("req-end-0003", State::Queued, "TRAINING_PROFILE_UNRESOLVED"),
        ("req-end-0004", State::Fail, "RUN_SCOPE_INVALID"),
        ("req-end-0005", State::Fail, "TRAINING_PROFILE_INVALID"),
    ];
    for (request_id, state, code) in ends {
        let run = world.run(request_id).await;
        assert_eq!(
            (run.state, run.reason_code.as_deref()),
            (state, Some(code)),
            "{request_id}: {:?}",
            run.reason_message
        );
    }
    world.drain().await;
    world.publications(0).await;
}
