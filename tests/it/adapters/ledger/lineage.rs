//! Lineage events of runs: the ledger's, and those on the topic.

use crate::checker::{Seen, check, collect};
use crate::support::{
    World, act, admit_one, claim, data, end_backoff, eventually, fails, fresh_database, ledger_on, request, whole_room,
};
use model_factory::adapters::kafka::{TopicNames, Topics};
use model_factory::adapters::ledger::{
    Coordinates, DatasetsKnown, Guarded, Lane, Lease, Ledger, OutboxRow, Room, RunCommand, Sent, Shard, Step,
};
use model_factory::domain::contract::{SchemaName, check as fits};
use model_factory::domain::run::{FailureCode, State, Transition};
use model_factory::modelling::lineage::{DatasetIo, LineageSettings};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, Row as _};
use std::collections::BTreeMap;
use std::time::Duration;

fn on() -> LineageSettings {
    LineageSettings { enabled: true, namespace: "tests".to_owned() }
}

async fn with_lineage(url: &str) -> Ledger {
    ledger_on(url, |_| {}).await.emitting_lineage(&on(), 900_000)
}

/// Type, id and value of every lineage event, in order.
async fn events(url: &str) -> Vec<(String, String, Value)> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let rows = sqlx::query("SELECT event_type, event_id, value FROM lineage_outbox ORDER BY id")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let event =
        |row: &sqlx::postgres::PgRow| (row.get(0), row.get(1), serde_json::from_slice(row.get::<&[u8], _>(2)).unwrap());
    rows.iter().map(event).collect()
}

async fn states(url: &str) -> Vec<String> {
    events(url).await.into_iter().map(|(state, ..)| state).collect()
}

async fn take(ledger: &Ledger, lease: &Lease, step: Step) -> State {
    match ledger.advance(lease, &[step]).await.unwrap() {
        Guarded::Won(state) => state,
        Guarded::Lost => panic!("the lease was lost"),
    }
}

async fn emit(ledger: &Ledger, lease: &Lease, known: DatasetsKnown) {
    let emitted = ledger.emit_lineage(lease, known, DatasetIo::default()).await.unwrap();
    assert_eq!(emitted, Guarded::Won(State::Running));
}

#[tokio::test]
async fn attempts_are_one_run_that_begins_once_and_ends_once() {
    let url = fresh_database().await;
    let ledger = with_lineage(&url).await;
    let run_id = admit_one(&ledger, "a").await;
    let first = claim(&ledger).await;
    for _ in 0..2 {
        emit(&ledger, &first, DatasetsKnown::Resolved).await;
    }
    assert_eq!(ledger.release(&first).await.unwrap(), Guarded::Won(State::Queued));
    let lost = ledger.emit_lineage(&first, DatasetsKnown::Read, DatasetIo::default()).await.unwrap();
    assert_eq!(lost, Guarded::Lost, "a worker without its lease emits nothing");
    let second = claim(&ledger).await;
    emit(&ledger, &second, DatasetsKnown::Resolved).await;
    assert_eq!(take(&ledger, &second, fails(FailureCode::LeakageGuardViolation)).await, State::Fail);
    let events = events(&url).await;
    let found: Vec<(&str, u64)> = events
        .iter()
        .map(|(state, _, event)| {
            (state.as_str(), event["run"]["facets"]["modelFactory_run"]["attempt"].as_u64().unwrap())
        })
        .collect();
    // A run that is given back keeps its attempt.
    assert_eq!(found, [("START", 1), ("RUNNING", 1), ("RUNNING", 1), ("FAIL", 1)]);
    assert_eq!(events[1].1, format!("lin_{run_id}_2_resolved"));
    let uuids: Vec<&Value> = events.iter().map(|(.., event)| &event["run"]["runId"]).collect();
    assert!(uuids.iter().all(|uuid| *uuid == uuids[0]), "{uuids:?}");
    let facets = &events[3].2["run"]["facets"];
    assert_eq!(facets["errorMessage"]["message"], "LEAKAGE_GUARD_VIOLATION: a test");
    assert_eq!(facets["modelFactory_run"]["code"], "LEAKAGE_GUARD_VIOLATION");
}

#[tokio::test]
async fn a_run_that_is_opened_again_begins_again_and_one_that_never_began_has_no_events() {
    let url = fresh_database().await;
    let ledger = with_lineage(&url).await;
    let run_id = admit_one(&ledger, "a").await;
    act(&ledger, &run_id, RunCommand::Cancel).await.unwrap();
    assert_eq!(states(&url).await, [""; 0], "it never began");
    act(&ledger, &run_id, RunCommand::Requeue).await.unwrap();
    let lease = claim(&ledger).await;
    take(&ledger, &lease, fails(FailureCode::TrainerTimeout)).await;
    // Between two attempts it is the same lineage run, which a cancel aborts.
    act(&ledger, &run_id, RunCommand::Cancel).await.unwrap();
    act(&ledger, &run_id, RunCommand::Requeue).await.unwrap();
    let lease = claim(&ledger).await;
    emit(&ledger, &lease, DatasetsKnown::Resolved).await;
    let verdict = [Transition::FinishEvaluation, Transition::FailGate].map(|transition| match transition {
        Transition::FailGate => Step::with_reason(transition, FailureCode::GateFail, "min_auc_roc"),
        _ => Step::to(transition, BTreeMap::new()),
    });
    assert_eq!(ledger.advance(&lease, &verdict).await.unwrap(), Guarded::Won(State::Fail));
    assert_eq!(states(&url).await, ["START", "ABORT", "START", "RUNNING", "COMPLETE"]);
    let last = events(&url).await.pop().unwrap().2;
    assert_eq!(last["run"]["facets"]["modelFactory_run"]["code"], "GATE_FAIL");
    assert!(last["run"]["facets"].get("errorMessage").is_none(), "the work was done; its verdict is no error");
}

#[tokio::test]
async fn a_run_that_began_without_lineage_has_events_from_its_next_attempt_on() {
    let url = fresh_database().await;
    let quiet = ledger_on(&url, |_| {}).await;
    let ledger = with_lineage(&url).await;
    admit_one(&quiet, "a").await;
    let lease = claim(&quiet).await;
    emit(&ledger, &lease, DatasetsKnown::Resolved).await;
    take(&ledger, &lease, fails(FailureCode::TrainerTimeout)).await;
    assert_eq!(states(&url).await, [""; 0]);
    end_backoff(&url).await;
    let lease = claim(&ledger).await;
    take(&ledger, &lease, fails(FailureCode::ManifestInvalid)).await;
    assert_eq!(states(&url).await, ["START", "FAIL"]);
}

#[tokio::test]
async fn only_what_is_acknowledged_under_its_fence_is_marked_and_one_event_of_a_run_is_given_out_at_a_time() {
    let url = fresh_database().await;
    let ledger = with_lineage(&url).await;
    admit_one(&ledger, "a").await;
    let lease = claim(&ledger).await;
    take(&ledger, &lease, fails(FailureCode::ManifestInvalid)).await;
    let stale = ledger.take_shards("r1", 16).await.unwrap();
    ledger.release_shards("r1").await.unwrap();
    let held = ledger.take_shards("r2", 16).await.unwrap();
    let first_of = async |lane: Lane| {
        let room = Room { of_a_stream: 1, ..whole_room() };
        ledger.unsent(lane, room).await.unwrap()
    };
    let given = |rows: Vec<OutboxRow>| {
        let [row] = <[OutboxRow; 1]>::try_from(rows).unwrap();
        let event: Value = serde_json::from_slice(&row.value).unwrap();
        (row, event["eventType"].as_str().unwrap().to_owned())
    };
    let (row, first) = given(first_of(Lane::Lineage).await);
    assert_eq!((first.as_str(), first_of(Lane::RunEvents).await.len()), ("START", 1));
    let sent = |shards: &[Shard]| Sent {
        id: row.id,
        kind: row.kind,
        shard: shards.iter().copied().find(|shard| shard.shard == row.shard).unwrap(),
        coordinates: Coordinates { topic: "lineage".to_owned(), partition: 0, offset: 7 },
    };
    assert_eq!(ledger.mark_sent("r1", &[sent(&stale)]).await.unwrap(), 0);
    assert_eq!(ledger.mark_sent("r2", &[sent(&held)]).await.unwrap(), 1);
    assert_eq!(first_of(Lane::RunEvents).await.len(), 1, "a row with the same id in the other outbox is not marked");
    assert_eq!(given(first_of(Lane::Lineage).await).1, "FAIL");
}

fn facets_fit(event: &Value) {
    fits(SchemaName::LineageRunFacet, &event["run"]["facets"]["modelFactory_run"]).unwrap();
    for dataset in ["inputs", "outputs"].iter().flat_map(|side| event[*side].as_array().unwrap()) {
        fits(SchemaName::LineageContentFacet, &dataset["facets"]["modelFactory_content"]).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_events_of_a_published_run_say_what_it_read_and_wrote_and_how_it_was_judged() {
    let mut world = World::new().await;
    world.config.lineage = on();
    world.ledger = world.ledger.emitting_lineage(&on(), 900_000);
    world.send(&[request("req-lineage-0001").to_string().into_bytes()]).await;
    world.admit(1).await;
    world.run_until_idle(2).await;
    world.drain().await;
    world.publications(1).await;
    let history = collect(&world).await;
    assert_eq!((check(&history), history.unsent), (vec![], 0));
    let events: Vec<Value> = history.lineage.iter().map(Seen::json).collect();
    events.iter().for_each(facets_fit);
    let states: Vec<&str> = events.iter().map(|event| event["eventType"].as_str().unwrap()).collect();
    assert_eq!(states, ["START", "RUNNING", "RUNNING", "COMPLETE"]);
    assert!(
        history
            .lineage
            .iter()
            .all(|record| record.key.as_deref() == events[0]["run"]["runId"].as_str().map(str::as_bytes))
    );

    let run = &world.ledger.runs(None, 1).await.unwrap()[0];
    let manifest: Value =
        serde_json::from_slice(&std::fs::read(data().folder.join(&data().inputs.manifest)).unwrap()).unwrap();
    let file = &manifest["materializations"][0];
    let read = &events[2]["inputs"][0];
    assert_eq!(read["facets"]["modelFactory_content"]["sha256"], file["sha256"]);
    assert_eq!(read["inputFacets"]["inputStatistics"]["rowCount"], file["rows"]);
    let columns: Vec<&str> =
        read["facets"]["schema"]["fields"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert!(columns.contains(&file["columns"]["label"].as_str().unwrap()), "{columns:?}");
    assert!(events[1]["inputs"][0]["facets"].get("schema").is_none(), "no worker has opened the file yet");

    let end = &events[3];
    let of = |role: &str, side: &str| {
        let found = end[side].as_array().unwrap().iter().find(|d| d["facets"]["modelFactory_content"]["role"] == role);
        found.unwrap_or_else(|| panic!("no {role} among the {side}")).clone()
    };
    for (role, known) in [("eval_report", "eval_report"), ("model", "model"), ("scores", "scores")] {
        let written = of(role, "outputs");
        assert_eq!(written["facets"]["modelFactory_content"]["sha256"], run.refs[known].sha256.to_string(), "{role}");
        let store = world.config.evidence.url.trim_start_matches("file://");
        assert_eq!(written["name"], format!("{store}/{}", run.refs[known].reference), "{role}");
    }
    let publication: Value = serde_json::from_slice(&history.publications[0].value).unwrap();
    let bundle = of("bundle", "outputs");
    assert_eq!(bundle["facets"]["modelFactory_content"]["sha256"], publication["bundle_id"]);
    assert_eq!(bundle["facets"]["version"]["datasetVersion"], publication["bundle_version"]);
    let artifacts = publication["artifacts"].as_array().unwrap();
    let bytes: u64 = artifacts.iter().map(|file| file["bytes"].as_u64().unwrap()).sum();
    let statistics = &bundle["outputFacets"]["outputStatistics"];
    assert_eq!((&statistics["size"], &statistics["fileCount"]), (&json!(bytes), &json!(artifacts.len())));
    let verdicts = of("scores", "inputs")["inputFacets"]["dataQualityAssertions"]["assertions"].clone();
    let verdicts: Vec<(&str, bool)> = verdicts
        .as_array()
        .unwrap()
        .iter()
        .map(|v| (v["name"].as_str().unwrap(), v["success"].as_bool().unwrap()))
        .collect();
    assert_eq!(verdicts, [("min_auc_roc", true), ("min_positives", true)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_lineage_is_off_nothing_is_written_and_no_topic_is_needed() {
    let mut world = World::new().await;
    world.config.kafka.topics.lineage = "never-made".to_owned();
    let names = world.config.kafka.topics.clone();
    Topics::check(&world.config.kafka, &names.needed(false, false)).await.unwrap();
    let missing = Topics::check(&world.config.kafka, &names.needed(false, true)).await.unwrap_err();
    assert!(missing.to_string().contains("--topic never-made"), "{missing}");
    world.send(&[request("req-lineage-0001").to_string().into_bytes()]).await;
    world.admit(1).await;
    world.run_until_idle(2).await;
    world.drain().await;
    world.publications(1).await;
    assert_eq!(states(&world.config.ledger.url).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_waits_for_lineage_whose_topic_is_gone_and_its_events_are_sent_once_it_is_back() {
    let mut world = World::new().await;
    let there = world.config.kafka.topics.lineage.clone();
    let ledger = world.ledger.clone().emitting_lineage(&on(), 900_000);
    admit_one(&ledger, "a").await;
    let lease = claim(&ledger).await;
    take(&ledger, &lease, fails(FailureCode::ManifestInvalid)).await;
    world.config.kafka.topics.lineage = format!("{there}-gone");
    let mut relay = world.relay("relay-1");
    // On a slow machine the lane of lineage has rested before the others are empty, and its next error ends the drain.
    let _ = relay.drain().await;
    relay.close().await;
    world.events(3).await;
    let waiting = || async { ledger.counts().await.unwrap().outbox_unsent };
    assert_eq!(waiting().await, 2, "START and FAIL wait");
    // Lineage is switched off by now; the events from before are sent all the same.
    world.config.kafka.topics = TopicNames { lineage: there, ..world.config.kafka.topics.clone() };
    eventually("the events that waited", Duration::from_secs(30), || async {
        world.drain().await;
        (waiting().await == 0).then_some(())
    })
    .await;
    assert_eq!(collect(&world).await.lineage.len(), 2);
}
