//! Requests as `CloudEvents`: however one is wrapped, it is the same request, and the inbox keeps its bytes.

use crate::support::{World, as_worker, event, event_of_bytes, request};
use model_factory::domain::contract::{EventType, SignedEnvelope};
use model_factory::domain::run::{Outcome, State};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

const TRAIN: &str = "train_build_request";
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// Headers of a `CloudEvent` in binary mode with wrong values: they decide nothing.
const BINARY: [(&str, &str); 6] = [
    ("ce_specversion", "0.3"),
    ("ce_id", ""),
    ("ce_source", "not a reference"),
    ("ce_type", "com.example.order"),
    ("content-type", "application/cloudevents+json"),
    ("ce_more", "x"),
];

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

async fn value_in_inbox(world: &World, offset: i64) -> Vec<u8> {
    let mut sql = PgConnection::connect(&as_worker(&world.config.ledger.url)).await.unwrap();
    sqlx::query_scalar(r#"SELECT value FROM inbox WHERE "offset" = $1"#).bind(offset).fetch_one(&mut sql).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_means_the_same_however_it_is_wrapped_and_its_run_is_published() {
    let world = World::new().await;
    let mut first = event(TRAIN, &request("req-event-0001"));
    first["traceparent"] = json!(TRACE);
    first["tracestate"] = json!("vendor=1");
    let signed = |id: &str| SignedEnvelope::seal(&bytes(&request(id)), b"of somebody", "");
    let mut conflict = request("req-event-0001");
    conflict["config_revision"] = json!("c2");
    let structured = [
        bytes(&first),
        // The same request again: bare, in another event, in base64.
        bytes(&request("req-event-0001")),
        bytes(&event_of_bytes(TRAIN, &bytes(&request("req-event-0001")))),
        // The same meaning under other ids.
        bytes(&event(TRAIN, &serde_json::from_slice(&signed("req-event-0002")).unwrap())),
        bytes(&event_of_bytes(TRAIN, &signed("req-event-0003"))),
        bytes(&request("req-event-0004")),
        bytes(&event(TRAIN, &conflict)),
    ];
    world.send_with(&[("content-type", "text/plain")], &structured).await;
    world.send_with(&BINARY, &[bytes(&request("req-event-0001")), bytes(&request("req-event-0005"))]).await;

    let outcomes = world.admit(9).await;
    let Outcome::Admitted { run_id } = outcomes[0].clone() else { panic!("{outcomes:?}") };
    for again in [1, 2, 7] {
        assert_eq!(outcomes[again], Outcome::DuplicateRequest { run_id: run_id.clone() }, "{again}");
    }
    for joined in [3, 4, 5, 8] {
        assert_eq!(outcomes[joined], Outcome::DuplicateRun { run_id: run_id.clone() }, "{joined}");
    }
    let differs = vec!["/config_revision".to_owned()];
    assert_eq!(outcomes[6], Outcome::Conflict { run_id: run_id.clone(), differs });
    for (offset, value) in structured.iter().enumerate() {
        assert_eq!(value_in_inbox(&world, offset as i64).await, *value, "the inbox keeps the record's bytes");
    }

    // The runner, `runs` and the evidence read the run's first request out of its event.
    world.run_until_idle(2).await;
    world.drain().await;
    let run = world.ledger.run(&run_id).await.unwrap().unwrap();
    assert_eq!((run.state, &run.request.request_id), (State::Published, &"req-event-0001".to_owned()));
    let publication = world.publications(1).await.remove(0);
    let traces = [&publication.headers["traceparent"], &publication.headers["tracestate"]];
    assert_eq!(traces, [TRACE, "vendor=1"], "the event's trace goes on where the record had no header");
    let letter = world.dead_letters(1).await.remove(0);
    assert_eq!((letter.headers["mf_pointer"].as_str(), &letter.value), ("/data/request_id", &structured[6]));

    let shown = world.stdout(&["runs", "show", run_id.as_str()]);
    assert!(shown.contains("request req-event-0001 by tests, CloudEvent event-1 from /tests\n"), "{shown}");
    assert!(shown.contains("request req-event-0004 by tests\n"), "{shown}");
    let explained: Value =
        serde_json::from_str(&world.stdout(&["runs", "explain", run_id.as_str(), "--output", "json"])).unwrap();
    assert_eq!(explained["requests"].as_array().unwrap().len(), 5);
    for request in explained["requests"].as_array().unwrap() {
        let differs = if request["request_id"] == "req-event-0001" { json!([]) } else { json!(["/request_id"]) };
        assert_eq!(request["ignored_differences"], differs, "{request}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_come_as_events_too_and_a_header_of_the_record_goes_before_the_events_trace() {
    let world = World::new().await;
    let mut first = event(TRAIN, &request("req-event-0001"));
    first["traceparent"] = json!("00-00000000000000000000000000000001-0000000000000001-01");
    world.send_with(&[("traceparent", TRACE)], &[bytes(&first)]).await;
    let outcomes = world.admit(1).await;
    let Outcome::Admitted { run_id } = outcomes[0].clone() else { panic!("{outcomes:?}") };
    let order = |kind: &str, id: &str| {
        json!({
            "schema_version": format!("learning.mf_{kind}.v0"),
            "request_id": id,
            "run_id": run_id,
            "requester_principal": "tests",
            "reason": "a test",
        })
    };
    let retry = event("publish_retry", &order("publish_retry", "cmd-event-001"));
    world.send_with(&[], &[bytes(&retry)]).await;
    world.send_with(&BINARY, &[bytes(&order("publish_retry", "cmd-event-002"))]).await;
    let traced = [("ce_traceparent", "00-00000000000000000000000000000002-0000000000000002-01")];
    world.send_with(&traced, &[bytes(&event_of_bytes("cancel", &bytes(&order("cancel", "cmd-event-003"))))]).await;
    let outcomes = world.admit(3).await;
    for early in &outcomes[..2] {
        assert!(matches!(early, Outcome::CommandRejected { .. }), "the run is not at PASS: {early:?}");
    }
    assert_eq!(outcomes[2], Outcome::CommandApplied { run_id });
    world.drain().await;
    let letters = world.dead_letters(2).await;
    let pointers: Vec<&str> = letters.iter().map(|letter| letter.headers["mf_pointer"].as_str()).collect();
    assert_eq!(pointers, ["/data/run_id", "/run_id"]);
    let events = world.events(4).await;
    let admitted = events.iter().find(|(event, _)| event.event_type == EventType::RequestAdmitted).unwrap();
    assert_eq!(admitted.1.headers["traceparent"], TRACE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_in_binary_mode_brings_its_trace_where_the_record_has_no_other() {
    let world = World::new().await;
    let headers = [("ce_specversion", "1.0"), ("ce_traceparent", TRACE), ("tracestate", "of nobody")];
    world.send_with(&headers, &[bytes(&request("req-event-0001"))]).await;
    world.admit(1).await;
    world.drain().await;
    let (_, record) = world.events(1).await.remove(0);
    assert_eq!(record.headers["traceparent"], TRACE);
    assert!(!record.headers.contains_key("tracestate"), "it belongs to another trace: {:?}", record.headers);
}
