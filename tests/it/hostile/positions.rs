//! Topics, brokers and databases that are not what they were: a topic made anew, offsets that lie, transactions, members
//! that are killed. Whatever happened to the place, each record in the topic is decided.

use crate::support::{
    BOUND, World, commit_offset, committed, copied_database, delete_records_before, eventually, fresh_database,
    ledger_on, make_anew, own_topics, request, revision, send_in_transaction, sql, took,
};
use model_factory::adapters::kafka::{AssignedPartition, Inbox, KafkaSettings, ReadFrom};
use model_factory::domain::run::{Outcome, State};
use model_factory::worker::intake::{Intake, IntakeOutcome};
use nix::sys::signal::Signal;
use serde_json::json;
use std::io::Write as _;
use std::time::{Duration, Instant};

/// Whether there is a real Kafka, whose topics can be deleted.
fn has_kafka() -> bool {
    let has = std::env::var("MODEL_FACTORY_TEST_BROKERS").is_ok();
    if !has {
        let _ = writeln!(std::io::stderr(), "NOT TESTED: topics made anew. MODEL_FACTORY_TEST_BROKERS is not set");
    }
    has
}

fn value(id: &str) -> Vec<u8> {
    revision(&format!("req-{id}-0001"), id).to_string().into_bytes()
}

fn values(ids: &[&str]) -> Vec<Vec<u8>> {
    ids.iter().map(|id| value(id)).collect()
}

/// Drives intake until so many records have an outcome.
async fn decide(intake: &mut Intake, records: usize) -> Vec<Outcome> {
    let (since, mut outcomes) = (Instant::now(), Vec::new());
    while outcomes.len() < records {
        assert!(since.elapsed() < BOUND, "{outcomes:?}");
        match intake.admit_once().await {
            Ok(IntakeOutcome::Admitted(more)) => outcomes.extend(more),
            Ok(IntakeOutcome::Idle | IntakeOutcome::Waiting | IntakeOutcome::Halved) => {}
            Err(error) => assert!(error.to_string().contains("not available"), "{error}"),
        }
    }
    outcomes
}

/// A few turns in which nothing is decided.
async fn rests(intake: &mut Intake) {
    for _ in 0..3 {
        assert_eq!(intake.admit_once().await.unwrap(), IntakeOutcome::Idle);
    }
}

fn all_admitted(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(|outcome| matches!(outcome, Outcome::Admitted { .. }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_was_deleted_and_created_again_swallows_no_request() {
    if !has_kafka() {
        return;
    }
    // The new topic is empty, shorter, as long, and longer; and the group's offsets are gone as well, as with a broker in
    // memory that begins anew.
    for (case, new_records, new_group) in
        [("none", 0, false), ("short", 2, false), ("long", 5, false), ("group", 5, true)]
    {
        let mut world = World::new().await;
        world.send(&values(&["a", "b", "c"])).await;
        world.admit(3).await;
        make_anew(&world.config.kafka, 1).await;
        let ids: Vec<String> = (0..new_records).map(|n| format!("new{n}")).collect();
        let new: Vec<Vec<u8>> = ids.iter().map(|id| value(id)).collect();
        world.send(&new).await;
        if new_group {
            world.config.kafka.group_id.push_str("-anew");
        }
        let mut intake = world.intake().await;
        assert!(all_admitted(&decide(&mut intake, new_records).await), "{case}");
        // A record of the old topic that comes once more is an old request; its coordinates are new ones.
        world.send(&values(&["a", "z"])).await;
        let later = decide(&mut intake, 2).await;
        assert!(matches!(later[..], [Outcome::DuplicateRequest { .. }, Outcome::Admitted { .. }]), "{case}: {later:?}");
        intake.close().await;
        let incarnations = world.ledger.incarnations(&world.config.kafka.topics.requests).await.unwrap();
        assert_eq!(incarnations.len(), 1, "{case}: {incarnations:?}");
        assert_eq!(world.ledger.counts().await.unwrap().inbox, 3 + new_records as i64 + 2, "{case}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_made_anew_under_a_running_worker_is_read_from_its_beginning_by_that_worker() {
    if !has_kafka() {
        return;
    }
    let world = World::new().await;
    let mut worker = world.worker("worker").roles("intake").start();
    world.send(&values(&["a", "b", "c"])).await;
    world.decided(3).await;
    make_anew(&world.config.kafka, 1).await;
    world.send(&[value("d"), b"no request".to_vec()]).await;
    world.decided(5).await;
    assert!(worker.exit_status().is_none());
    worker.logs("deleted and created again").await;
    let text = world.stdout(&["dead-letters", "list", "--output", "json"]);
    assert!(text.contains("~2/0/1") || text.contains("MESSAGE_NOT_JSON"), "{text}");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_ahead_of_the_ledger_lose_no_record_and_a_poisoned_mark_stops_nobody() {
    let world = World::new().await;
    world.send(&values(&["a", "b"])).await;
    world.admit(2).await;
    world.send(&values(&["c", "d", "e"])).await;
    // As after a restore; whoever commits here writes no mark.
    commit_offset(&world.config.kafka, 4).await;
    assert!(all_admitted(&world.admit(3).await));
    // Beyond the end of the log.
    commit_offset(&world.config.kafka, 1_000).await;
    world.send(&values(&["f"])).await;
    assert!(all_admitted(&world.admit(1).await));
    assert_eq!(world.ledger.counts().await.unwrap().inbox, 6);
    assert_eq!(committed(&world.config.kafka, 0).await, 6, "Kafka's offset follows the ledger");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_the_markers_of_transactions_the_lag_returns_to_zero_and_an_emptied_partition_starts() {
    if !has_kafka() {
        return;
    }
    let world = World::new().await;
    let kafka = &world.config.kafka;
    world.send(&values(&["before"])).await;
    send_in_transaction(kafka, &values(&["in", "this"]), true).await;
    send_in_transaction(kafka, &values(&["never"]), false).await;
    let mut intake = world.intake().await;
    assert!(all_admitted(&decide(&mut intake, 3).await));
    rests(&mut intake).await;
    intake.close().await;
    // One record; two and a marker; one that was aborted, and a marker.
    assert_eq!(committed(kafka, 0).await, 6, "no lag");
    delete_records_before(kafka, 6).await;
    let mut intake = world.intake().await;
    rests(&mut intake).await;
    world.send(&values(&["after"])).await;
    assert!(all_admitted(&decide(&mut intake, 1).await));
    intake.close().await;
    assert_eq!(world.ledger.counts().await.unwrap().inbox, 4);

    // Without the mend above, the offset stood before the markers when retention came.
    send_in_transaction(kafka, &values(&["gone"]), false).await;
    delete_records_before(kafka, 9).await;
    world.send(&values(&["good"])).await;
    assert!(all_admitted(&world.admit(1).await), "records that are gone stop no others");
}

/// Places what is assigned at the beginning, and returns the partitions of the records that come.
async fn partitions_read(inbox: &mut Inbox) -> Vec<i32> {
    let standings = inbox.standings().await.unwrap();
    let start =
        |standing: &AssignedPartition| ReadFrom { partition: standing.partition, at: standing.begin, check: None };
    let starts: Vec<ReadFrom> = standings.iter().map(start).collect();
    if !starts.is_empty() {
        inbox.begin_at(&starts, "of a test").unwrap();
    }
    let records = inbox.next_batch(100, Duration::from_millis(200)).await.unwrap();
    records.iter().map(|record| record.partition).collect()
}

async fn read_both(inbox: &mut Inbox, what: &str) {
    let (since, mut seen) = (Instant::now(), Vec::new());
    while !(seen.contains(&0) && seen.contains(&1)) {
        assert!(since.elapsed() < BOUND, "{what}: {seen:?}");
        seen.extend(partitions_read(inbox).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_wait_for_the_ledger_paused_is_read_after_the_partitions_came_and_went() {
    let kafka: KafkaSettings = own_topics(2).await;
    let world = World::between(kafka.clone(), fresh_database().await).await;
    let many: Vec<String> = (0..40).map(|n| format!("p{n}")).collect();
    let outlet = model_factory::adapters::kafka::Outlet::open(&kafka).unwrap();
    for id in &many {
        let value = value(id);
        let record = model_factory::adapters::kafka::Record {
            topic: &kafka.topics.requests,
            key: Some(id.as_bytes()),
            value: &value,
            headers: &[],
        };
        outlet.send(record).await.unwrap();
    }
    let mut first = Inbox::subscribe(&world.config.kafka).await.unwrap();
    read_both(&mut first, "at the start").await;
    // Both partitions are paused; then one goes to another member, and comes back.
    first.idle(Duration::from_millis(100)).await;
    let mut second = Inbox::subscribe(&world.config.kafka).await.unwrap();
    let shared = async {
        while second.unplaced().is_empty() {
            let _ = second.next_batch(1, Duration::from_millis(50)).await;
        }
    };
    let waiting = async {
        loop {
            first.idle(Duration::from_millis(100)).await;
        }
    };
    tokio::select! { () = shared => {}, () = waiting => unreachable!() }
    {
        let waiting = async {
            loop {
                first.idle(Duration::from_millis(100)).await;
            }
        };
        tokio::select! { () = second.close() => {}, () = waiting => unreachable!() }
    }
    read_both(&mut first, "after all is back").await;
    first.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_worker_s_partitions_are_read_again_within_ten_seconds() {
    if !has_kafka() {
        return;
    }
    let world = World::between(own_topics(2).await, fresh_database().await).await;
    let (killed, other) =
        (world.worker("killed").roles("intake").start(), world.worker("other").roles("intake").start());
    for worker in [&killed, &other] {
        worker.logs("reads on").await;
    }
    let last_shares = || {
        [&killed, &other].map(|worker| {
            let log = worker.log();
            let mut lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            lines.rfind(|line| line["kafka.change"] == "assigned").map(|line| line["kafka.partitions"].clone())
        })
    };
    eventually("a partition each", BOUND, || {
        std::future::ready((last_shares() == [Some(json!(1)), Some(json!(1))]).then_some(()))
    })
    .await;
    killed.signal(Signal::SIGKILL);
    let since = Instant::now();
    let outlet = model_factory::adapters::kafka::Outlet::open(&world.config.kafka).unwrap();
    for index in 0..20 {
        let (key, value) = (format!("key-{index}"), value(&format!("k{index}")));
        let topic = &world.config.kafka.topics.requests;
        let record =
            model_factory::adapters::kafka::Record { topic, key: Some(key.as_bytes()), value: &value, headers: &[] };
        outlet.send(record).await.unwrap();
    }
    world.decided(20).await;
    let elapsed = since.elapsed();
    assert!(elapsed < Duration::from_secs(12), "{elapsed:?}");
    took("a killed worker's partitions are read again after", elapsed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_a_topic_made_anew_a_good_request_is_published_in_the_usual_time() {
    if !has_kafka() {
        return;
    }
    let world = World::new().await;
    world.send(&values(&["a", "b", "c"])).await;
    world.admit(3).await;
    make_anew(&world.config.kafka, 1).await;
    world.send(&[request("req-good-0001").to_string().into_bytes()]).await;
    world.admit(1).await;
    let mut worker = world.worker("worker").start();
    world.reaches("req-good-0001", State::Published).await;
    worker.stop().await;
}

fn good(id: &str) -> Vec<u8> {
    let mut good = request(&format!("req-{id}-0001"));
    good["config_revision"] = json!(id);
    good.to_string().into_bytes()
}

async fn published_with_receipt(world: &World, request_id: &str) {
    world.reaches(request_id, State::Published).await;
    eventually("the receipt of the publication", BOUND, || async {
        let run = world.run(request_id).await;
        assert_eq!(run.reason_code, None, "{:?}", run.reason_message);
        run.refs.contains_key("publish_receipt").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_restored_from_a_backup_decides_every_record_again_and_publishes_no_other_identity() {
    let mut world = World::new().await;
    world.send(&[good("first")]).await;
    let mut worker = world.worker("before").start();
    published_with_receipt(&world, "req-first-0001").await;
    worker.stop().await;
    world.ledger.close().await;
    let original = world.config.ledger.url.clone();
    let backup = copied_database(&original).await;

    world.ledger = ledger_on(&original, |_| {}).await;
    world.send(&[good("later"), b"no request".to_vec()]).await;
    let mut worker = world.worker("between").start();
    world.decided(3).await;
    published_with_receipt(&world, "req-later-0001").await;
    worker.stop().await;

    // The runbook's recipe: intake alone, then the fences, then everything.
    world.config.ledger.url.clone_from(&backup);
    world.ledger = ledger_on(&backup, |_| {}).await;
    world.send(&[good("newest")]).await;
    let since = Instant::now();
    let mut intake = world.worker("intake").roles("intake").start();
    world.decided(4).await;
    intake.logs("ahead of the ledger").await;
    intake.stop().await;
    sql(&backup, &["UPDATE runs SET fence = fence + 1000000"]).await;
    let mut worker = world.worker("after").start();
    published_with_receipt(&world, "req-newest-0001").await;
    published_with_receipt(&world, "req-later-0001").await;
    let elapsed = since.elapsed();
    worker.stop().await;
    assert!(elapsed < Duration::from_mins(1), "{elapsed:?}");
    took("a restored ledger has caught up after", elapsed);

    let publications = world.publications(4).await;
    let identities = |name: &str| {
        let values = publications.iter().map(|record| {
            let value: serde_json::Value = serde_json::from_slice(&record.value).unwrap();
            value[name].to_string()
        });
        values.collect::<std::collections::BTreeSet<_>>().len()
    };
    assert_eq!((identities("run_id"), identities("bundle_id")), (3, 3), "one of them was announced twice, as the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_on_another_ledger_starts_with_neither_the_group_nor_the_store() {
    let world = World::new().await;
    world.send(&[good("owner")]).await;
    let mut owner = world.worker("owner").start();
    published_with_receipt(&world, "req-owner-0001").await;
    let other = fresh_database().await;
    let _ledger = ledger_on(&other, |_| {}).await;
    for (roles, named) in
        [("runner", "_ledger names the ledger"), ("intake", "were committed by workers on the ledger")]
    {
        owner.stop().await;
        let mut stranger =
            world.worker("stranger").roles(roles).set("LEDGER__URL", crate::support::as_worker(&other)).start();
        assert!(!stranger.exit().await.success());
        assert!(stranger.log().contains(named), "{}", stranger.log());
        assert!(stranger.log().contains("Two ledgers"), "it says what to do");
        owner = world.worker("owner").start();
        owner.logs("reads on").await;
    }
    // The good request of somebody else goes its way.
    world.send(&[good("beside")]).await;
    published_with_receipt(&world, "req-beside-0001").await;
    owner.stop().await;
}
