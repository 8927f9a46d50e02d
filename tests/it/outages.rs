//! Postgres away, the broker away: nothing is lost, nothing is told twice as something new, and work
//! goes on by itself.

use crate::checker::{History, check, collect, drained};
use crate::support::{
    Departure, OwnKafka, Worker, World, admit_one, eventually, fresh_database, ledger_on, own_topics_on, request,
    revision, turn,
};
use model_factory::adapters::kafka::{Follower, KafkaSettings, MockBroker};
use model_factory::domain::contract::OwnershipBoundaries;
use model_factory::domain::run::State;
use model_factory::tools::dev::PrivatePostgres;
use model_factory::worker::relay::Relay;
use nix::sys::signal::Signal;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinSet, block_in_place};

const BOUND: Duration = Duration::from_mins(3);
const REQUESTS: usize = 5_000;

fn values(range: std::ops::Range<usize>) -> Vec<Vec<u8>> {
    let value = |index: usize| revision(&format!("req-outage-{index:05}"), &format!("c{index}")).to_string();
    range.map(|index| value(index).into_bytes()).collect()
}

/// A folder for a server that may run as another user.
fn open_folder() -> tempfile::TempDir {
    tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o755)).tempdir().unwrap()
}

async fn decided(world: &World, records: usize) {
    eventually(&format!("{records} decisions"), BOUND, || async {
        (world.ledger.counts().await.ok()?.inbox >= records as i64).then_some(())
    })
    .await;
}

/// Intake has noticed that Postgres is away.
async fn noticed(worker: &mut Worker, times: usize) {
    eventually("a worker that waits for the ledger", BOUND, || {
        assert!(worker.ended().is_none(), "the worker waits, it does not end");
        let noticed = worker.said().matches("nothing is settled until the ledger answers").count();
        std::future::ready((noticed >= times).then_some(()))
    })
    .await;
}

/// Ends the worker as an orchestrator does; what it settled is committed by then.
async fn end(worker: &mut Worker) {
    worker.signal(Signal::SIGTERM);
    let status = eventually("the worker's end", BOUND, || std::future::ready(worker.ended())).await;
    assert!(status.success(), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_postgres_is_away_intake_waits_and_afterwards_every_request_has_its_outcome() {
    let place = open_folder();
    let folder = place.path().join("postgres");
    let postgres = PrivatePostgres::start(&folder).unwrap();
    let (port, world) = (postgres.port(), World::on(postgres.url("postgres")).await);
    let command = world.command(&["worker", "--from", "earliest", "--roles", "intake,relay"]);
    let mut worker = Worker::start(command, &world.folder.path().join("worker.log"));

    world.send(&values(0..REQUESTS / 2)).await;
    decided(&world, 1).await;
    block_in_place(|| drop(postgres));
    world.send(&values(REQUESTS / 2..REQUESTS)).await;
    noticed(&mut worker, 2).await;

    let _postgres = block_in_place(|| PrivatePostgres::start_at(&folder, port)).unwrap();
    eventually("every decision and event", BOUND, || async {
        let counts = world.ledger.counts().await.ok()?;
        (counts.inbox == REQUESTS as i64 && counts.outbox_unsent == 0).then_some(())
    })
    .await;
    end(&mut worker).await;
    let history = collect(&world).await;
    assert_eq!((history.requests.len(), history.settled()), (REQUESTS, REQUESTS as i64));
    assert_eq!((history.runs.len(), history.dead_letters.len()), (REQUESTS, 0));
    assert!(!drained(&history), "nobody trained");
    assert_eq!(check(&history), []);
    tell("Postgres was away", &history);
}

/// Past the capture of the test harness: people count on this line.
fn tell(what: &str, history: &History) {
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

/// Every fifth record is a new meaning; behind it come the same again, the same by another id, a conflict,
/// and no request at all. One meaning in 250 passes its gate, the others fail fast.
fn mixed() -> Vec<Vec<u8>> {
    let inputs = &crate::support::data().inputs;
    let ask = |id: usize, meaning: usize| {
        let mut value = revision(&format!("req-restart-{id:05}"), &format!("c{meaning}"));
        if !meaning.is_multiple_of(REQUESTS / 4) {
            value["governance_profile_ref"] = json!(inputs.training_profile);
        }
        value.to_string().into_bytes()
    };
    let record = |index: usize| match index % 5 {
        0 => ask(index, index),
        1 => ask(index - 1, index - 1),
        2 => ask(index, index - 2),
        3 => ask(index - 3, index),
        _ => format!("no request {index}").into_bytes(),
    };
    (0..REQUESTS).map(record).collect()
}

/// Sends until every record is acknowledged, through outages of the broker: the client library tries again
/// for five minutes, and being idempotent writes each record once.
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
    let place = open_folder();
    let folder = place.path().join("postgres");
    let postgres = PrivatePostgres::start(&folder).unwrap();
    let port = postgres.port();
    let topics = own_topics_on(kafka.brokers().to_owned(), 1).await;
    let world = World::between(topics, postgres.url("postgres")).await;
    let mut command = world.command(&["worker", "--from", "earliest"]);
    command.env("MODEL_FACTORY_WORKER__SLOTS", "2");
    let mut worker = Worker::start(command, &world.folder.path().join("worker.log"));
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", kafka.brokers())
        .set("enable.idempotence", "true")
        .set("message.timeout.ms", "300000")
        .create()
        .unwrap();
    let (records, topic) = (mixed(), &world.config.kafka.topics.requests);

    send_patiently(&producer, topic, &records[..1_500]).await;
    decided(&world, 1).await;
    kafka.go_away(Departure::Killed).await;
    tokio::join!(send_patiently(&producer, topic, &records[1_500..3_000]), kafka.come_back());
    decided(&world, 2_000).await;

    block_in_place(|| drop(postgres));
    send_patiently(&producer, topic, &records[3_000..4_000]).await;
    noticed(&mut worker, 1).await;
    let postgres = block_in_place(|| PrivatePostgres::start_at(&folder, port)).unwrap();
    decided(&world, 3_500).await;

    kafka.go_away(Departure::Terminated).await;
    block_in_place(|| drop(postgres));
    let _postgres = block_in_place(|| PrivatePostgres::start_at(&folder, port)).unwrap();
    tokio::join!(send_patiently(&producer, topic, &records[4_000..]), kafka.come_back());
    eventually("a verdict on every run, and every event sent", 2 * BOUND, || async {
        let counts = world.ledger.counts().await.ok()?;
        let ended: i64 = [State::Fail, State::Published].iter().map(|state| counts.runs[state.as_str()]).sum();
        (counts.inbox == REQUESTS as i64 && ended == REQUESTS as i64 / 5 && counts.outbox_unsent == 0).then_some(())
    })
    .await;
    end(&mut worker).await;

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
    tell("Kafka was killed, Postgres was restarted, and both were", &history);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_evidence_store_is_away_a_run_waits_its_turn_and_is_published_once_afterwards() {
    let world = World::new().await;
    world.send(&[request("req-store-0001").to_string().into_bytes()]).await;
    world.admit(1).await;
    let runner = world.runner("runner-1", 2).await;
    let (_stop, shutdown) = watch::channel(false);
    let (store, aside) = (world.folder.path().join("evidence"), world.folder.path().join("aside"));
    // Nothing can be written below what is no folder, not even as root.
    std::fs::rename(&store, &aside).unwrap();
    std::fs::write(&store, "no folder").unwrap();
    turn(&runner, &shutdown).await;
    let run = world.ledger.run_of_request("req-store-0001").await.unwrap().unwrap();
    assert_eq!((run.state, run.full_run_attempts), (State::Queued, 1), "{:?}", run.reason_message);
    assert_eq!(run.reason_code.as_deref(), Some("EVIDENCE_UNRESOLVED"));
    assert!(world.ledger.claim("w").await.unwrap().is_none(), "it waits before the next attempt");

    std::fs::remove_file(&store).unwrap();
    std::fs::rename(&aside, &store).unwrap();
    eventually("the next attempt", BOUND, || async {
        turn(&runner, &shutdown).await;
        let run = world.ledger.run_of_request("req-store-0001").await.unwrap()?;
        (run.state == State::PublishPending).then_some(())
    })
    .await;
    world.drain().await;
    let run = world.ledger.run_of_request("req-store-0001").await.unwrap().unwrap();
    assert_eq!((run.state, run.full_run_attempts), (State::Published, 2));
    // `admit` committed offsets; what the loops did is judged as a whole.
    let history = collect(&world).await;
    assert!(drained(&history));
    assert_eq!(history.publications.len(), 1);
    assert_eq!(check(&history), []);
}

#[tokio::test]
async fn while_the_broker_is_away_longer_than_a_message_lives_the_outbox_keeps_and_later_drains() {
    let mut kafka = KafkaSettings::default();
    let broker = MockBroker::start(&kafka.topics, 1).unwrap();
    kafka.brokers = broker.brokers();
    let ledger = ledger_on(&fresh_database().await, |_| {}).await;
    let follower = Follower::at_end(&kafka, &kafka.topics.lifecycle).await.unwrap();
    let relay = Relay::new(&kafka, ledger.clone(), OwnershipBoundaries::shipped(), "relay".to_owned()).unwrap();
    let (stop, stopped) = watch::channel(false);
    let mut loops = JoinSet::new();
    loops.spawn(relay.run(stopped));
    let unsent = || async { ledger.counts().await.unwrap().outbox_unsent };

    admit_one(&ledger, "before").await;
    eventually("the first event", BOUND, || async { (unsent().await == 0).then_some(()) }).await;
    broker.go_down().unwrap();
    for index in 0..50 {
        admit_one(&ledger, &format!("away{index}")).await;
    }
    // Longer than the ten seconds after which the client library gives a record up.
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(unsent().await, 50, "nothing is marked that the broker did not acknowledge");
    broker.come_back().unwrap();
    eventually("a drained outbox", BOUND, || async { (unsent().await == 0).then_some(()) }).await;
    stop.send_replace(true);
    loops.join_next().await.unwrap().unwrap().unwrap();

    let mut told = BTreeSet::new();
    // The follower noticed the outage as well, and waits longer and longer before it asks again.
    let reading = async {
        while told.len() < 51 {
            if let Ok(Some(record)) = follower.next(Duration::from_secs(2)).await {
                told.insert(record.headers["ce_id"].clone());
            }
        }
    };
    tokio::time::timeout(BOUND, reading).await.expect("every event on the topic");
}
