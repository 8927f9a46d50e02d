//! Workers as a consumer group: killed, added and drained in the middle of many requests, on a real Kafka.

use crate::checker::{check, collect, drained};
use crate::support::{BOUND, Worker, World, data, eventually, fresh_database, own_topics, revision};
use model_factory::adapters::kafka::{Outlet, Record};
use model_factory::domain::run::State;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::io::Write as _;
use std::ops::Range;

const REQUESTS: usize = 2_000;
const PARTITIONS: i32 = 12;
/// So many records in a row are about one meaning.
const FAMILY: usize = 10;

/// Of ten records one has a new meaning; the others repeat it, repeat it under another id, contradict it, or are no
/// request. They share a key, and so a partition that keeps their order. Two meanings pass their gate, the others fail
/// fast.
fn record(index: usize) -> (String, Vec<u8>) {
    let meaning = index / FAMILY;
    let fails = !meaning.is_multiple_of(REQUESTS / FAMILY / 2);
    let request = |id: usize, meaning: &str| {
        let mut value = revision(&format!("req-group-{id:05}"), meaning);
        if fails {
            value["governance_profile_ref"] = json!(data().inputs.training_profile);
        }
        value.to_string().into_bytes()
    };
    let first = meaning * FAMILY;
    let value = match index % FAMILY {
        0..3 => request(first, &format!("c{meaning}")),
        3..6 => request(index, &format!("c{meaning}")),
        6..9 => request(first, &format!("other{meaning}")),
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
    world
        .worker(name)
        .set("WORKER__DRAIN_SECONDS", "5")
        // A member that was killed leaves its group when its session expires.
        .set("KAFKA__PROPERTIES__SESSION_TIMEOUT_MS", "6000")
        .set("KAFKA__PROPERTIES__HEARTBEAT_INTERVAL_MS", "500")
        .start()
}

/// How many partitions a worker was assigned, by its log: one entry for each generation of the group.
fn assigned(worker: &Worker) -> Vec<i64> {
    let log = worker.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter(|line| line["kafka.change"] == "assigned")
        .map(|line| line["kafka.partitions"].as_i64().unwrap())
        .collect()
}

/// Waits until these workers, and nobody else, hold all partitions; returns in how many generations each has been.
async fn shared(workers: &mut [&mut Worker]) -> Vec<usize> {
    let each = i64::from(PARTITIONS) / workers.len() as i64;
    eventually("partitions shared by the members", BOUND, || {
        let gone: Vec<_> = workers.iter_mut().filter_map(|worker| worker.exit_status()).collect();
        assert!(gone.is_empty(), "a worker ended: {gone:?}");
        let generations: Vec<Vec<i64>> = workers.iter().map(|worker| assigned(worker)).collect();
        let done = generations.iter().all(|generations| generations.last() == Some(&each));
        std::future::ready(done.then(|| generations.iter().map(Vec::len).collect()))
    })
    .await
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
    world.decided(100).await;
    killed.signal(Signal::SIGKILL);
    send(&world, REQUESTS / 3..REQUESTS * 2 / 3).await;
    let of_two = shared(&mut [&mut first, &mut second]).await;
    assert_eq!(of_two, [before[0] + 1, before[1] + 1], "one rebalance for the member that was killed");

    let mut added = start(&world, "added");
    send(&world, REQUESTS * 2 / 3..REQUESTS).await;
    let of_three = shared(&mut [&mut first, &mut second, &mut added]).await;
    assert_eq!(of_three, [before[0] + 2, before[1] + 2, 1], "one for the member that was added");

    first.stop().await;
    let left = shared(&mut [&mut second, &mut added]).await;
    assert_eq!(left, [before[1] + 3, 2], "one for the member that left");

    eventually("a verdict on every run, and every event sent", BOUND, || async {
        let counts = world.ledger.counts().await.unwrap();
        let ended: i64 = [State::Fail, State::Published].iter().map(|state| counts.runs[state.as_str()]).sum();
        let all = (REQUESTS as i64, (REQUESTS / FAMILY) as i64, 0);
        ((counts.inbox, ended, counts.outbox_unsent) == all).then_some(())
    })
    .await;
    // Workers trained two runs and ended hundreds meanwhile.
    let after = [assigned(&second).len(), assigned(&added).len()];
    assert_eq!(after.to_vec(), left, "no generation without a change of members");
    for worker in [&mut second, &mut added] {
        worker.stop().await;
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
