//! Workers as a consumer group: killed, added and drained in the middle of many requests, on a real Kafka.

use crate::checker::{check, collect, drained};
use crate::support::{Worker, World, data, eventually, fresh_database, own_topics, revision};
use model_factory::adapters::kafka::{Outlet, Record};
use model_factory::domain::run::State;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::io::Write as _;
use std::ops::Range;
use std::time::Duration;

const BOUND: Duration = Duration::from_mins(3);
const REQUESTS: usize = 2_000;
const PARTITIONS: i32 = 12;
/// Every so many records are about one new meaning.
const FAMILY: usize = 10;

/// Of ten records one is a new meaning; the others are the same again, the same by another id, conflicts, and no
/// request at all. They share a key and so a partition, in which their order holds. Two meanings pass their gate, the
/// others fail fast.
fn record(index: usize) -> (String, Vec<u8>) {
    let meaning = index / FAMILY;
    let fails = !meaning.is_multiple_of(REQUESTS / FAMILY / 2);
    let ask = |id: usize, meaning: &str| {
        let mut value = revision(&format!("req-group-{id:05}"), meaning);
        if fails {
            value["governance_profile_ref"] = json!(data().inputs.training_profile);
        }
        value.to_string().into_bytes()
    };
    let first = meaning * FAMILY;
    let value = match index % FAMILY {
        0..3 => ask(first, &format!("c{meaning}")),
        3..6 => ask(index, &format!("c{meaning}")),
        6..9 => ask(first, &format!("other{meaning}")),
        _ => format!("no request {index}").into_bytes(),
    };
    (format!("family-{meaning}"), value)
}

async fn send(world: &World, range: Range<usize>) {
    let outlet = Outlet::open(&world.config.kafka).unwrap();
    let records: Vec<_> = range.map(record).collect();
    let topic = &world.config.kafka.topics.requests;
    let sending = records
        .iter()
        .map(|(key, value)| outlet.send(Record { topic, key: Some(key.as_bytes()), value, headers: &[] }));
    futures::future::try_join_all(sending).await.unwrap();
    outlet.close().await;
}

fn start(world: &World, name: &str) -> Worker {
    let mut command = world.command(&["worker", "--from", "earliest"]);
    command
        .env("MODEL_FACTORY_WORKER__LOG_FORMAT", "json")
        .env("MODEL_FACTORY_WORKER__DRAIN_SECONDS", "5")
        // A member that was killed leaves its group when its session expires.
        .env("MODEL_FACTORY_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS", "6000")
        .env("MODEL_FACTORY_KAFKA__PROPERTIES__HEARTBEAT_INTERVAL_MS", "500");
    Worker::start(command, &world.folder.path().join(format!("{name}.log")))
}

/// Partitions that a worker was given, each time that the group shared them: one entry a generation.
fn assigned(worker: &Worker) -> Vec<i64> {
    let said = worker.said();
    let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter(|line| line["kafka.change"] == "assigned")
        .map(|line| line["kafka.partitions"].as_i64().unwrap())
        .collect()
}

/// Waits until these workers, and nobody else, hold all partitions; says in how many generations each has been.
async fn shared(workers: &mut [&mut Worker]) -> Vec<usize> {
    let each = i64::from(PARTITIONS) / workers.len() as i64;
    eventually("partitions shared by the members", BOUND, || {
        let gone: Vec<_> = workers.iter_mut().filter_map(|worker| worker.ended()).collect();
        assert!(gone.is_empty(), "a worker ended: {gone:?}");
        let generations: Vec<Vec<i64>> = workers.iter().map(|worker| assigned(worker)).collect();
        let done = generations.iter().all(|generations| generations.last() == Some(&each));
        std::future::ready(done.then(|| generations.iter().map(Vec::len).collect()))
    })
    .await
}

async fn decided(world: &World, records: i64) {
    eventually(&format!("{records} decisions"), BOUND, || async {
        (world.ledger.counts().await.unwrap().inbox >= records).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_are_killed_added_and_drained_and_every_request_is_answered_once() {
    if std::env::var("MODEL_FACTORY_TEST_BROKERS").is_err() {
        let _ = writeln!(std::io::stderr(), "NOT TESTED: a consumer group. MODEL_FACTORY_TEST_BROKERS is not set");
        return;
    }
    let world = World::between(own_topics(PARTITIONS).await, fresh_database().await).await;
    let (mut first, mut second, mut killed) =
        (start(&world, "first"), start(&world, "second"), start(&world, "killed"));
    let before = shared(&mut [&mut first, &mut second, &mut killed]).await;

    send(&world, 0..REQUESTS / 3).await;
    decided(&world, 100).await;
    killed.signal(Signal::SIGKILL);
    send(&world, REQUESTS / 3..REQUESTS * 2 / 3).await;
    let of_two = shared(&mut [&mut first, &mut second]).await;
    assert_eq!(of_two, [before[0] + 1, before[1] + 1], "one rebalance for the member that was killed");

    let mut added = start(&world, "added");
    send(&world, REQUESTS * 2 / 3..REQUESTS).await;
    let of_three = shared(&mut [&mut first, &mut second, &mut added]).await;
    assert_eq!(of_three, [before[0] + 2, before[1] + 2, 1], "one for the member that was added");

    first.signal(Signal::SIGTERM);
    let status = eventually("the end of the drained worker", BOUND, || std::future::ready(first.ended())).await;
    assert!(status.success(), "{status}");
    let left = shared(&mut [&mut second, &mut added]).await;
    assert_eq!(left, [before[1] + 3, 2], "one for the member that left");

    eventually("a verdict on every run, and every event sent", BOUND, || async {
        let counts = world.ledger.counts().await.unwrap();
        let ended: i64 = [State::Fail, State::Published].iter().map(|state| counts.runs[state.as_str()]).sum();
        let all = (REQUESTS as i64, (REQUESTS / FAMILY) as i64, 0);
        ((counts.inbox, ended, counts.outbox_unsent) == all).then_some(())
    })
    .await;
    // Two runs were trained and hundreds were worked on meanwhile.
    let after = [assigned(&second).len(), assigned(&added).len()];
    assert_eq!(after.to_vec(), left, "none without a change of members");
    for worker in [&mut second, &mut added] {
        worker.signal(Signal::SIGTERM);
        let status = eventually("the end of a worker", BOUND, || std::future::ready(worker.ended())).await;
        assert!(status.success(), "{status}");
    }

    let history = collect(&world).await;
    assert_eq!((history.requests.len(), history.settled()), (REQUESTS, REQUESTS as i64));
    assert!(drained(&history));
    assert_eq!(check(&history), []);
    let tenths = [("ADMITTED", 1), ("CONFLICT", 3), ("DUPLICATE_REQUEST", 2), ("DUPLICATE_RUN", 3), ("REJECTED", 1)];
    assert_eq!(history.outcomes(), tenths.map(|(outcome, tenths)| (outcome, tenths * REQUESTS / 10)).into());
    assert_eq!(history.runs.iter().filter(|run| run.state == "PUBLISHED").count(), 2);
    let _ = writeln!(
        std::io::stderr(),
        "group: a member killed, one added, one drained in the middle of {REQUESTS} requests on {PARTITIONS} partitions; \
         {} generations, {} decided, {} runs, no violation",
        left[0],
        history.decided.len(),
        history.runs.len()
    );
}
