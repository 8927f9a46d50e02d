//! Postgres away, the broker away: nothing is lost, nothing is told twice as something new, and work
//! goes on by itself.

use crate::checker::{check, collect, drained};
use crate::support::{World, admit_one, eventually, fresh_database, ledger_on, revision};
use model_factory::contract::OwnershipBoundaries;
use model_factory::dev::PrivatePostgres;
use model_factory::kafka::{Follower, KafkaSettings, MockBroker};
use model_factory::relay::Relay;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Stdio};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

const BOUND: Duration = Duration::from_mins(3);
const REQUESTS: usize = 5_000;

struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn values(range: std::ops::Range<usize>) -> Vec<Vec<u8>> {
    let value = |index: usize| revision(&format!("req-outage-{index:05}"), &format!("c{index}")).to_string();
    range.map(|index| value(index).into_bytes()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_postgres_is_away_intake_waits_and_afterwards_every_request_has_its_outcome() {
    let place = tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o755)).tempdir().unwrap();
    let folder = place.path().join("postgres");
    let postgres = PrivatePostgres::start(&folder).unwrap();
    let (port, world) = (postgres.port(), World::on(postgres.url("postgres")).await);
    let log = std::fs::File::create(world.folder.path().join("worker.log")).unwrap();
    let mut command = world.command(&["worker", "--from", "earliest", "--roles", "intake,relay"]);
    let mut worker = Worker(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());

    world.send(&values(0..REQUESTS / 2)).await;
    eventually("the first decisions", BOUND, || async { (world.ledger.counts().await.ok()?.inbox > 0).then_some(()) })
        .await;
    drop(postgres);
    world.send(&values(REQUESTS / 2..REQUESTS)).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(worker.0.try_wait().unwrap().is_none(), "the worker waits, it does not end");

    let _postgres = PrivatePostgres::start_at(&folder, port).unwrap();
    eventually("every decision and event", BOUND, || async {
        let counts = world.ledger.counts().await.ok()?;
        (counts.inbox == REQUESTS as i64 && counts.outbox_unsent == 0).then_some(())
    })
    .await;
    // What it settled last is committed within a second.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let history = collect(&world).await;
    assert_eq!((history.requests.len(), history.committed), (REQUESTS, REQUESTS as i64));
    assert_eq!((history.runs.len(), history.dead_letters.len()), (REQUESTS, 0));
    assert!(!drained(&history), "nobody trained");
    assert_eq!(check(&history), []);
    let _ = writeln!(
        std::io::stderr(),
        "outage: Postgres was away in the middle of {REQUESTS} requests; {} decided, {} runs, {} events, no violation",
        history.decided.len(),
        history.runs.len(),
        history.lifecycle.len()
    );
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
    loop {
        match follower.next(Duration::from_secs(2)).await {
            Ok(Some(record)) => told.insert(record.headers["ce_id"].clone()),
            Ok(None) => break,
            // It noticed the outage as well.
            Err(_) => continue,
        };
    }
    assert_eq!(told.len(), 51);
}
