//! More than one relay, relays that stop and wake up, and producers that break.

use crate::checker::{check, collect};
use crate::support::{
    RunningRelay, World, admit_one, bring, eventually, fresh_database, ledger_on, outbox_sent, request, revision, sql,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use model_factory::adapters::kafka::Follower;
use model_factory::worker::relay::RelayOutcome;
use nix::sys::signal::Signal;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

const BOUND: Duration = Duration::from_mins(2);

/// Shards as if their relays had not renewed them in time.
async fn expire_shards(url: &str) {
    let expire = "UPDATE relay_shards SET expires_at = clock_timestamp() - interval '1 second' WHERE owner IS NOT NULL";
    sql(url, &["DELETE FROM relays", expire]).await;
}

/// The value of a counter, summed over its labels.
fn counted(metrics: &PrometheusHandle, name: &str) -> u64 {
    let text = metrics.render();
    let counts = text.lines().filter(|line| line.starts_with(name));
    counts.filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relays_that_are_killed_and_wake_up_late_keep_every_runs_order_and_send_everything() {
    const RUNS: usize = 50;
    const EVENTS: usize = 80;
    let world = World::new().await;
    let record = |index: usize| {
        let mut value = request(&format!("req-relays-{index:05}"));
        value["config_revision"] = json!(format!("c{}", index % RUNS));
        value.to_string().into_bytes()
    };
    world.send(&(0..RUNS * EVENTS).map(record).collect::<Vec<_>>()).await;
    world.admit(RUNS * EVENTS).await;
    let start = |name: &str| world.worker(name).roles("relay").start();
    let unsent_below = |bound: usize| {
        let ledger = &world.ledger;
        async move {
            eventually(&format!("fewer than {bound} events to send"), BOUND, || async {
                (ledger.counts().await.unwrap().outbox_unsent < bound as i64).then_some(())
            })
            .await;
        }
    };

    let sleeper = start("sleeper");
    unsent_below(RUNS * EVENTS * 9 / 10).await;
    sleeper.signal(Signal::SIGSTOP);
    expire_shards(&world.config.ledger.url).await;
    let victim = start("victim");
    unsent_below(RUNS * EVENTS * 6 / 10).await;
    victim.signal(Signal::SIGKILL);
    expire_shards(&world.config.ledger.url).await;
    let _last = start("last");
    unsent_below(RUNS * EVENTS * 5 / 10).await;
    sleeper.signal(Signal::SIGCONT);
    unsent_below(1).await;

    // The checker wants events numbered without holes, first occurrences in order, and duplicates with the same bytes.
    let history = collect(&world).await;
    assert_eq!(check(&history), []);
    let ids: BTreeSet<&str> = history.lifecycle.iter().map(|record| record.header("ce_id")).collect();
    assert_eq!((ids.len(), history.unsent), (RUNS * EVENTS, 0));
}

#[tokio::test]
async fn a_stale_relay_that_wakes_up_marks_nothing_and_that_is_counted() {
    const REFUSED: &str = "model_factory_stale_writes_refused_total{kind=\"mark_sent\"}";
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _here = metrics::set_default_local_recorder(&recorder);
    let world = World::new().await;
    let (mut stale, mut holder) = (world.relay("stale"), world.relay("holder"));
    let mut events = 0;
    // A relay renews its shards every second: in a slow round it finds them lost before it marks anything.
    for round in 0..20 {
        for name in ["a", "b"] {
            admit_one(&world.ledger, &format!("{name}{round}")).await;
            events += 1;
        }
        expire_shards(&world.config.ledger.url).await;
        stale.relay_once().await.unwrap();
        for name in ["c", "d"] {
            admit_one(&world.ledger, &format!("{name}{round}")).await;
            events += 1;
        }
        expire_shards(&world.config.ledger.url).await;
        let taken = world.ledger.take_shards("holder", 16).await.unwrap();
        assert_eq!(taken.len(), 16);
        let woken = stale.relay_once().await.unwrap();
        let again = stale.relay_once().await.unwrap();
        // The stale one leaves, so that the holder's part is everything.
        sql(&world.config.ledger.url, &["DELETE FROM relays"]).await;
        holder.drain().await.unwrap();
        if counted(&metrics, REFUSED) > 0 {
            assert_eq!(woken, RelayOutcome::Sent(0), "what it sent, it may not mark");
            assert_eq!(again, RelayOutcome::Idle, "it has noticed, and sends nothing more");
            break;
        }
    }
    // On a slow machine the stale relay also waits for reports on what it sent before it slept.
    let refused = counted(&metrics, REFUSED);
    assert!(refused == 2 || refused == 4, "{refused}");
    stale.close().await;
    holder.close().await;
    let history = collect(&world).await;
    let ids: BTreeSet<&str> = history.lifecycle.iter().map(|record| record.header("ce_id")).collect();
    assert_eq!((ids.len(), history.unsent), (events, 0));
    let sent = events + usize::try_from(refused).unwrap();
    assert_eq!(history.lifecycle.len(), sent, "the stale relay's records came once more, with the same bytes");
}

#[tokio::test]
async fn a_producer_that_is_beyond_repair_is_made_again_and_counted_and_the_outbox_drains() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _here = metrics::set_default_local_recorder(&recorder);
    let ledger = ledger_on(&fresh_database().await, |_| {}).await;
    let relay = RunningRelay::start(&ledger);
    let follower = Follower::at_end(&relay.kafka, &relay.kafka.topics.lifecycle).await.unwrap();

    admit_one(&ledger, "before").await;
    outbox_sent(&ledger).await;
    assert_eq!(counted(&metrics, "model_factory_producers_recreated_total"), 0);
    relay.broker.forget_a_producer();
    for index in 0..20 {
        admit_one(&ledger, &format!("after{index}")).await;
    }
    outbox_sent(&ledger).await;
    assert_eq!(counted(&metrics, "model_factory_producers_recreated_total"), 1);
    let mut ids = BTreeSet::new();
    while let Some(record) = follower.next(Duration::from_secs(2)).await.unwrap() {
        ids.insert(record.headers["ce_id"].clone());
    }
    assert_eq!(ids.len(), 21);
    relay.stop().await;
}

#[tokio::test]
async fn many_events_of_many_runs_go_at_once_and_arrive_in_order() {
    let world = World::new().await;
    for index in 0..30 {
        for id in 0..3 {
            let value = revision(&format!("req-{index}-{id}-0001"), &format!("r{index}"));
            bring(&world.ledger, &value).await;
        }
    }
    let mut relay = world.relay("relay");
    assert_eq!(relay.relay_once().await.unwrap(), RelayOutcome::Sent(30), "the producer is new to the broker");
    assert_eq!(relay.relay_once().await.unwrap(), RelayOutcome::Sent(60));
    assert_eq!(relay.relay_once().await.unwrap(), RelayOutcome::Idle);
    relay.close().await;
    let history = collect(&world).await;
    assert_eq!(history.lifecycle.len(), 90, "each came once");
    let broken: Vec<_> = check(&history).into_iter().filter(|found| ["S7", "S8"].contains(&found.guarantee)).collect();
    assert_eq!(broken, []);
}
