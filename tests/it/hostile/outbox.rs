//! Topics that refuse or are gone, records that no topic takes, floods of one run, and relays that die: what they do to the
//! records of others.

use crate::support::{
    World, admit_one, count, create_topic, eventually, fresh_database, ledger_on, publications_count_as_handed_over,
    sql, took,
};
use model_factory::adapters::ledger::{Lane, Room};
use model_factory::domain::identity::RunId;
use model_factory::worker::liveness::Heartbeat;
use model_factory::worker::relay::{RelayError, RelayProgress};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The usual time of an event, on a slow and busy machine.
const USUAL: Duration = Duration::from_secs(4);
const BOUND: Duration = Duration::from_mins(1);

/// The relay's loop beside a test.
struct Beside {
    stop: watch::Sender<bool>,
    running: JoinSet<Result<(), RelayError>>,
    progress: RelayProgress,
}

impl Beside {
    fn start(world: &World) -> Self {
        let relay = world.relay("beside");
        let progress = relay.progress();
        let (stop, stopped) = watch::channel(false);
        let mut running = JoinSet::new();
        running.spawn(relay.run(stopped, Heartbeat::default()));
        Self { stop, running, progress }
    }

    async fn stop(mut self) {
        self.stop.send_replace(true);
        self.running.join_next().await.unwrap().unwrap().unwrap();
    }
}

/// Sends as many records that are no request, and admits them.
async fn refuse(world: &World, records: usize) {
    world.send(&(0..records).map(|index| format!("no request {index}").into_bytes()).collect::<Vec<_>>()).await;
    world.admit(records).await;
}

/// Waits until every event of runs is sent; returns how long that took.
async fn events_of_runs_leave(url: &str) -> Duration {
    let since = Instant::now();
    eventually("the events of runs", BOUND, || async {
        (count(url, "outbox WHERE left(stream, 3) = 'tr_' AND sent_at IS NULL").await == 0).then_some(())
    })
    .await;
    since.elapsed()
}

/// So many more events of a run, as large as this.
async fn flood(url: &str, run_id: &RunId, events: usize, bytes: usize) {
    let insert = format!(
        "INSERT INTO outbox (stream, seq, kind, event_id, key, value, headers, created_at)
         SELECT '{run_id}', 1000 + n, 'LIFECYCLE', 'flood-' || n, '{run_id}'::bytea,
                convert_to('{{\"n\":' || n || ',\"x\":\"' || repeat('x', {bytes}) || '\"}}', 'UTF8'), '[]', now()
         FROM generate_series(1, {events}) AS g (n)"
    );
    sql(url, &[&insert]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_records_whose_topic_is_gone_hold_up_no_event_and_health_names_the_topic() {
    let mut world = World::new().await;
    let url = world.config.ledger.url.clone();
    let there = world.config.kafka.topics.dead_letters.clone();
    world.config.kafka.topics.dead_letters = format!("{there}-gone");
    refuse(&world, 700).await;
    let relay = Beside::start(&world);
    let mut slowest = Duration::ZERO;
    for index in 0..5 {
        for name in ["a", "b"] {
            admit_one(&world.ledger, &format!("{name}{index}")).await;
        }
        slowest = slowest.max(events_of_runs_leave(&url).await);
        // The relay waits for the topic, fails, rests and tries again meanwhile.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    took("beside a topic that is gone, events of runs leave within", slowest);
    assert!(slowest < USUAL, "{slowest:?}");
    let missing =
        eventually("a relay that is not ready", BOUND, || async { relay.progress.clone().check().await.err() });
    assert!(missing.await.contains(&world.config.kafka.topics.dead_letters));
    relay.stop().await;
    assert_eq!(count(&url, "outbox WHERE kind = 'DEAD_LETTER' AND sent_at IS NULL AND tries = 0").await, 700);
    world.config.kafka.topics.dead_letters = there;
    assert_eq!(world.drain().await, 700, "each is sent once its topic is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_that_its_topic_never_takes_is_set_aside_shown_and_given_back() {
    let mut world = World::new().await;
    let url = world.config.ledger.url.clone();
    let there = world.config.kafka.topics.dead_letters.clone();
    let small = format!("{there}-small");
    create_topic(&world.config.kafka, &small, &[("max.message.bytes", "200")]).await;
    world.config.kafka.topics.dead_letters = small;
    refuse(&world, 20).await;
    let relay = Beside::start(&world);
    eventually("20 dead letters set aside", BOUND, || async {
        sql(&url, &["UPDATE outbox SET rests_until = now() WHERE rests_until > now()"]).await;
        (count(&url, "outbox WHERE set_aside_at IS NOT NULL").await == 20).then_some(())
    })
    .await;
    admit_one(&world.ledger, "good").await;
    let waited = events_of_runs_leave(&url).await;
    took("beside records that are set aside, events of runs leave within", waited);
    assert!(waited < USUAL, "{waited:?}");
    relay.stop().await;
    assert_eq!(world.ledger.counts().await.unwrap().outbox_unsent, 0, "what is set aside does not wait");

    let shown = world.stdout(&["dead-letters", "list", "--set-aside", "--output", "json"]);
    let first: Value = serde_json::from_str(shown.lines().next().unwrap()).unwrap();
    assert_eq!((shown.lines().count(), first["tries"].as_i64()), (20, Some(4)));
    assert!(first["refusal"].as_str().unwrap().to_lowercase().contains("too large"), "{first}");
    world.config.kafka.topics.dead_letters = there;
    let given_back = world.stdout(&["dead-letters", "give-back", "--reason", "a larger topic", "--actor", "ann"]);
    assert!(given_back.contains("20 records"));
    let logged = "audit_log WHERE body LIKE '%dead_letter.given_back%a larger topic%' AND body LIKE '%operator:ann%'";
    assert_eq!(count(&url, logged).await, 1, "one block, with the operator and the reason");
    assert_eq!(world.drain().await, 20);
    assert_eq!(world.dead_letters(20).await[0].headers["mf_code"], "MESSAGE_NOT_JSON");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_one_run_holds_up_neither_a_publication_nor_the_events_of_others() {
    const FLOOD: usize = 60_000;
    let world = World::new().await;
    let url = &world.config.ledger.url;
    let run_id = admit_one(&world.ledger, "flooded").await;
    flood(url, &run_id, FLOOD, 500).await;
    let publication = format!(
        "INSERT INTO outbox (stream, kind, event_id, key, value, headers, created_at)
         VALUES ('{run_id}', 'PUBLICATION', 'pub-1', 'k', '{{}}', '[]', now())"
    );
    sql(url, &[&publication]).await;
    let relay = Beside::start(&world);
    let other = admit_one(&world.ledger, "other").await;
    let since = Instant::now();
    eventually("the publication and the other's event", BOUND, || async {
        let waiting = format!("outbox WHERE sent_at IS NULL AND (kind = 'PUBLICATION' OR stream = '{other}')");
        (count(url, &waiting).await == 0).then_some(())
    })
    .await;
    let waited = since.elapsed();
    took("beside a flood of one run, its publication and events of others leave within", waited);
    assert!(waited < USUAL, "{waited:?}");
    assert!(
        count(url, &format!("outbox WHERE stream = '{run_id}' AND sent_at IS NULL")).await > 0,
        "the flood goes on"
    );
    relay.stop().await;
}

/// The choice is cheap whatever waits: it is made from indexes that hold only what is to be sent.
#[tokio::test]
async fn a_choice_beside_a_hundred_thousand_records_of_others_takes_milliseconds() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |_| {}).await;
    let run_id = admit_one(&ledger, "flooded").await;
    flood(&url, &run_id, 100_000, 10).await;
    let other = admit_one(&ledger, "other").await;
    sql(&url, &["ANALYZE outbox"]).await;
    let shards: Vec<i16> = (0..16).collect();
    let busy = [run_id.as_str()];
    let room = Room {
        shards: &shards,
        busy: &busy,
        records: 512,
        of_a_stream: 128,
        bytes: 1 << 20,
        max_record_bytes: 900_000,
    };
    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        let since = Instant::now();
        let rows = ledger.unsent(Lane::RunEvents, room).await.unwrap();
        quickest = quickest.min(since.elapsed());
        assert_eq!(rows.iter().map(|row| row.stream.as_str()).collect::<Vec<_>>(), [other.as_str()]);
    }
    assert!(quickest < Duration::from_millis(250), "{quickest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_run_passes_an_event_that_its_topic_refuses_and_other_runs_go_on() {
    let mut world = World::new().await;
    let url = world.config.ledger.url.clone();
    let there = world.config.kafka.topics.lifecycle.clone();
    let small = format!("{there}-small");
    create_topic(&world.config.kafka, &small, &[("max.message.bytes", "20000")]).await;
    world.config.kafka.topics.lifecycle = small;
    let stuck = admit_one(&world.ledger, "stuck").await;
    flood(&url, &stuck, 3, 10).await;
    let large = format!("UPDATE outbox SET value = repeat('x', 30000)::bytea WHERE stream = '{stuck}' AND seq = 1002");
    sql(&url, &[&large]).await;
    let relay = Beside::start(&world);
    let mut slowest = Duration::ZERO;
    for index in 0..20 {
        let other = admit_one(&world.ledger, &format!("other{index}")).await;
        let since = Instant::now();
        eventually("the other's event", BOUND, || async {
            (count(&url, &format!("outbox WHERE stream = '{other}' AND sent_at IS NULL")).await == 0).then_some(())
        })
        .await;
        slowest = slowest.max(since.elapsed());
    }
    assert!(slowest < USUAL, "{slowest:?}");
    let refused = format!("outbox WHERE stream = '{stuck}' AND seq = 1002 AND tries > 0 AND sent_at IS NULL");
    eventually("the refusal", BOUND, || async { (count(&url, &refused).await == 1).then_some(()) }).await;
    let before = format!("outbox WHERE stream = '{stuck}' AND seq < 1002 AND sent_at IS NULL");
    eventually("what came before it", BOUND, || async { (count(&url, &before).await == 0).then_some(()) }).await;
    relay.stop().await;
    let behind = format!("outbox WHERE stream = '{stuck}' AND seq > 1002 AND sent_at IS NULL AND tries = 0");
    assert_eq!(count(&url, &behind).await, 1, "what follows waits");
    assert_eq!(count(&url, "outbox WHERE set_aside_at IS NOT NULL").await, 0, "nothing of a run is set aside");

    sql(&url, &["UPDATE outbox SET rests_until = now() WHERE tries > 0"]).await;
    world.config.kafka.topics.lifecycle = there;
    assert_eq!(world.drain().await, 2);
    let order: Vec<usize> = [world.next_event(BOUND).await, world.next_event(BOUND).await]
        .map(|record| record.unwrap().value.len())
        .to_vec();
    assert_eq!(order[0], 30_000, "the large one, then what follows: {order:?}");
}

#[tokio::test]
async fn a_publication_that_no_broker_was_given_is_never_withdrawn() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |settings| settings.publish_patience_seconds = 0).await;
    let run_id = admit_one(&ledger, "a").await;
    let publication = |number: i32| {
        format!(
            "INSERT INTO outbox (stream, kind, event_id, key, value, headers, created_at)
             VALUES ('{run_id}', 'PUBLICATION', 'pub-{number}', 'k', '{{}}', '[]', now() - interval '1 day')"
        )
    };
    sql(&url, &[&publication(1)]).await;
    assert_eq!(ledger.withdraw_overdue("w", 10).await.unwrap(), [], "the broker was not asked");
    publications_count_as_handed_over(&url).await;
    sql(&url, &[&publication(2)]).await;
    assert_eq!(ledger.withdraw_overdue("w", 10).await.unwrap(), [run_id]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relays_share_the_shards_and_what_one_leaves_the_others_send() {
    let world = World::new().await;
    let url = &world.config.ledger.url;
    let holders = async || {
        count(url, "(SELECT owner FROM relay_shards WHERE owner IS NOT NULL GROUP BY owner HAVING count(*) = 8) o")
            .await
    };
    let victim = world.worker("victim").roles("relay").start();
    let all = "relay_shards WHERE owner IS NOT NULL";
    eventually("the first one's shards", BOUND, || async { (count(url, all).await == 16).then_some(()) }).await;
    let _other = world.worker("other").roles("relay").start();
    eventually("a fair share", BOUND, || async { (holders().await == 2).then_some(()) }).await;
    victim.signal(Signal::SIGKILL);
    let since = Instant::now();
    for index in 0..20 {
        admit_one(&world.ledger, &format!("r{index}")).await;
    }
    events_of_runs_leave(url).await;
    took("what a killed relay leaves is sent within", since.elapsed());
    assert!(since.elapsed() < Duration::from_secs(12), "{:?}", since.elapsed());
}
