//! Postgres away, the broker away, the evidence store away: nothing is lost, no event is repeated under a new id, and
//! work goes on by itself.

use crate::checker::{History, check, collect, drained};
use crate::support::{
    BOUND, Departure, OwnKafka, OwnPostgres, RunningRelay, Worker, World, admit_one, data, eventually, fresh_database,
    ledger_on, outbox_sent, own_topics_on, request, revision, turn,
};
use model_factory::adapters::kafka::Follower;
use model_factory::domain::run::State;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::Duration;
use tokio::sync::watch;

const REQUESTS: usize = 5_000;

fn values(range: std::ops::Range<usize>) -> Vec<Vec<u8>> {
    let value = |index: usize| revision(&format!("req-outage-{index:05}"), &format!("c{index}")).to_string();
    range.map(|index| value(index).into_bytes()).collect()
}

/// Waits until intake has found Postgres away so often.
async fn waits_for_ledger(worker: &mut Worker, times: usize) {
    eventually("a worker that waits for the ledger", BOUND, || {
        assert!(worker.exit_status().is_none(), "the worker waits, it does not end");
        let waits = worker.log().matches("nothing is settled until the ledger answers").count();
        std::future::ready((waits >= times).then_some(()))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_postgres_is_away_intake_waits_and_afterwards_every_request_has_its_outcome() {
    let mut postgres = OwnPostgres::start();
    let world = World::on(postgres.url()).await;
    let mut worker = world.worker("worker").roles("intake,relay").start();

    world.send(&values(0..REQUESTS / 2)).await;
    world.decided(1).await;
    postgres.go_away();
    world.send(&values(REQUESTS / 2..REQUESTS)).await;
    waits_for_ledger(&mut worker, 2).await;

    postgres.come_back();
    eventually("every decision and event", BOUND, || async {
        let counts = world.ledger.counts().await.ok()?;
        (counts.inbox == REQUESTS as i64 && counts.outbox_unsent == 0).then_some(())
    })
    .await;
    worker.stop().await;
    let history = collect(&world).await;
    assert_eq!((history.requests.len(), history.settled()), (REQUESTS, REQUESTS as i64));
    assert_eq!((history.runs.len(), history.dead_letters.len()), (REQUESTS, 0));
    assert!(!drained(&history), "nobody trained");
    assert_eq!(check(&history), []);
    print_result("Postgres was away", &history);
}

/// Prints past the capture of the test harness: people look for this line.
fn print_result(what: &str, history: &History) {
    let _ = writeln!(
        std::io::stderr(),
        "outage: {what} in the middle of {} requests; {} decided, {} runs, {} steps, {} events, {} dead letters, {} \
         publications, no violation",
        history.requests.len(),
        history.decided.len(),
        history.runs.len(),
        history.steps.len(),
        history.lifecycle.len(),
        history.dead_letters.len(),
        history.publications.len()
    );
}

/// Every fifth record has a new meaning; the next four repeat it, repeat it under another id, contradict it, and are no
/// request. One meaning in 250 passes its gate, the others fail fast.
fn mixed() -> Vec<Vec<u8>> {
    let inputs = &data().inputs;
    let request = |id: usize, meaning: usize| {
        let mut value = revision(&format!("req-restart-{id:05}"), &format!("c{meaning}"));
        if !meaning.is_multiple_of(REQUESTS / 4) {
            value["governance_profile_ref"] = json!(inputs.training_profile);
        }
        value.to_string().into_bytes()
    };
    let record = |index: usize| match index % 5 {
        0 => request(index, index),
        1 => request(index - 1, index - 1),
        2 => request(index, index - 2),
        3 => request(index - 3, index),
        _ => format!("no request {index}").into_bytes(),
    };
    (0..REQUESTS).map(record).collect()
}

/// Sends until the broker has acknowledged every record, through its outages: the client library tries again for five
/// minutes, and its idempotent producer writes each record once.
async fn send_patiently(producer: &FutureProducer, topic: &str, values: &[Vec<u8>]) {
    let sending =
        values.iter().map(|value| producer.send(FutureRecord::to(topic).key("k").payload(value), Timeout::Never));
    for delivery in futures::future::join_all(sending).await {
        delivery.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarting_kafka_and_postgres_in_the_middle_of_5000_requests_loses_and_duplicates_nothing() {
    let Some(kafka) = OwnKafka::start().await else { return };
    let mut postgres = OwnPostgres::start();
    let topics = own_topics_on(kafka.brokers().to_owned(), 1).await;
    let world = World::between(topics, postgres.url()).await;
    let mut worker = world.worker("worker").set("WORKER__SLOTS", "2").start();
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", kafka.brokers())
        .set("enable.idempotence", "true")
        .set("message.timeout.ms", "300000")
        .create()
        .unwrap();
    let (records, topic) = (mixed(), &world.config.kafka.topics.requests);

    send_patiently(&producer, topic, &records[..1_500]).await;
    world.decided(1).await;
    kafka.go_away(Departure::Killed).await;
    tokio::join!(send_patiently(&producer, topic, &records[1_500..3_000]), kafka.come_back());
    world.decided(2_000).await;

    postgres.go_away();
    send_patiently(&producer, topic, &records[3_000..4_000]).await;
    waits_for_ledger(&mut worker, 1).await;
    postgres.come_back();
    world.decided(3_500).await;

    kafka.go_away(Departure::Terminated).await;
    postgres.go_away();
    postgres.come_back();
    tokio::join!(send_patiently(&producer, topic, &records[4_000..]), kafka.come_back());
    eventually("a verdict on every run, and every event sent", 2 * BOUND, || async {
        let counts = world.ledger.counts().await.ok()?;
        let ended: i64 = [State::Fail, State::Published].iter().map(|state| counts.runs[state.as_str()]).sum();
        (counts.inbox == REQUESTS as i64 && ended == REQUESTS as i64 / 5 && counts.outbox_unsent == 0).then_some(())
    })
    .await;
    worker.stop().await;

    let history = collect(&world).await;
    assert_eq!((history.requests.len(), history.settled()), (REQUESTS, REQUESTS as i64));
    assert!(drained(&history));
    assert_eq!(check(&history), []);
    let kinds = ["ADMITTED", "CONFLICT", "DUPLICATE_REQUEST", "DUPLICATE_RUN", "REJECTED"];
    assert_eq!(history.outcomes(), kinds.map(|kind| (kind, REQUESTS / 5)).into());
    let published = history.runs.iter().filter(|run| run.state == "PUBLISHED").count();
    assert_eq!(published, 4);
    let announced: BTreeSet<String> =
        history.publications.iter().map(|record| record.json()["bundle_id"].to_string()).collect();
    assert_eq!(announced.len(), 4);
    print_result("Kafka was killed, Postgres was restarted, and both were", &history);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_evidence_store_is_away_a_run_waits_its_turn_and_is_published_once_afterwards() {
    let world = World::new().await;
    world.send(&[request("req-store-0001").to_string().into_bytes()]).await;
    world.admit(1).await;
    let runner = world.runner("runner-1", 2).await;
    let (_stop, shutdown) = watch::channel(false);
    let (store, aside) = (world.folder.path().join("evidence"), world.folder.path().join("aside"));
    // Nobody can write below a file, not even root.
    std::fs::rename(&store, &aside).unwrap();
    std::fs::write(&store, "no folder").unwrap();
    turn(&runner, &shutdown).await;
    let run = world.run("req-store-0001").await;
    assert_eq!((run.state, run.full_run_attempts), (State::Queued, 0), "{:?}", run.reason_message);
    assert_eq!((run.reason_code.as_deref(), run.outage_tries), (Some("EVIDENCE_UNRESOLVED"), 1));
    assert!(world.ledger.claim("w").await.unwrap().is_none(), "the next attempt waits");

    std::fs::remove_file(&store).unwrap();
    std::fs::rename(&aside, &store).unwrap();
    eventually("the next attempt", BOUND, || async {
        turn(&runner, &shutdown).await;
        let run = world.ledger.run_of_request("req-store-0001").await.unwrap()?;
        (run.state == State::PublishPending).then_some(())
    })
    .await;
    world.drain().await;
    let run = world.run("req-store-0001").await;
    assert_eq!((run.state, run.full_run_attempts, run.outage_since), (State::Published, 1, None));
    let history = collect(&world).await;
    assert!(drained(&history));
    assert_eq!(history.publications.len(), 1);
    assert_eq!(check(&history), []);
}

#[tokio::test]
async fn while_the_broker_is_away_longer_than_a_message_lives_the_outbox_keeps_and_later_drains() {
    let ledger = ledger_on(&fresh_database().await, |_| {}).await;
    let relay = RunningRelay::start(&ledger);
    let follower = Follower::at_end(&relay.kafka, &relay.kafka.topics.lifecycle).await.unwrap();

    admit_one(&ledger, "before").await;
    outbox_sent(&ledger).await;
    relay.broker.go_down().unwrap();
    for index in 0..50 {
        admit_one(&ledger, &format!("away{index}")).await;
    }
    // Longer than the ten seconds after which the client library gives up on a record.
    tokio::time::sleep(Duration::from_secs(12)).await;
    let unsent = ledger.counts().await.unwrap().outbox_unsent;
    assert_eq!(unsent, 50, "nothing is marked that the broker did not acknowledge");
    relay.broker.come_back().unwrap();
    outbox_sent(&ledger).await;

    let mut ids = BTreeSet::new();
    // The follower noticed the outage as well: its client library backs off before it reconnects.
    let reading = async {
        while ids.len() < 51 {
            if let Ok(Some(record)) = follower.next(Duration::from_secs(2)).await {
                ids.insert(record.headers["ce_id"].clone());
            }
        }
    };
    tokio::time::timeout(BOUND, reading).await.expect("every event on the topic");
    relay.stop().await;
}
