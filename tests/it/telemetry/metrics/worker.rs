//! The page of a real worker.

use super::catalogue::described;
use super::scraped::Scraped;
use crate::support::{BOUND, OwnPostgres, Worker, World, data, eventually, request};
use model_factory::domain::run::FailureCode;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use tokio::task::block_in_place;

/// Waits for a page that is as wanted.
async fn page(worker: &Worker, what: &str, wanted: impl Fn(&Scraped) -> bool) -> Scraped {
    let scrape = || std::future::ready(block_in_place(|| Scraped::from(worker)).filter(|page| wanted(page)));
    eventually(what, BOUND, scrape).await
}

/// A good run, the same request again, the same meaning under another id, a gate that fails, and no request at all.
async fn send_all_sorts(world: &World) {
    let mut strict = request("req-metrics-0003");
    strict["governance_profile_ref"] = json!(data().inputs.strict_governance_profile);
    let good = request("req-metrics-0001").to_string().into_bytes();
    let again = request("req-metrics-0002").to_string().into_bytes();
    world.send(&[good.clone(), good, again, strict.to_string().into_bytes(), b"not json".to_vec()]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_counts_what_it_did_under_the_documented_names_and_no_others() {
    const RUNS: &str = "model_factory_runs";
    let world = World::new().await;
    let worker = world.worker("worker").roles("intake,runner,relay").start();
    let first =
        page(&worker, "the first reading of the ledger", |page| page.series.contains_key("model_factory_queue_depth"))
            .await;
    send_all_sorts(&world).await;
    let ended = BTreeMap::from([("{state=\"FAIL\"}", 1.0), ("{state=\"PUBLISHED\"}", 1.0)]);
    let page = page(&worker, "the end of both runs and the lag of the topic", |page| {
        page.beyond_zero(RUNS) == ended
            && page.types.contains_key("model_factory_consumer_lag")
            && page.series.keys().any(|series| series.starts_with("model_factory_consumer_lag{"))
            && page.beyond_zero("model_factory_outbox_depth").is_empty()
    })
    .await;

    // Exactly the documented metrics, each with its help text and its type.
    let documented: BTreeMap<String, String> =
        described().map(|(_, metric)| (metric.name().to_owned(), metric.kind().to_owned())).collect();
    assert_eq!(page.types, documented);
    assert_eq!(page.helped, documented.keys().cloned().collect());
    let of_a_type = |series: &String| {
        let name = series.split('{').next().unwrap();
        let parts = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        documented.contains_key(name) || parts.is_some_and(|name| documented[name] == "histogram")
    };
    assert!(page.series.keys().all(of_a_type));

    // What happened, and nothing else.
    let counted = |name: &str| page.beyond_zero(name);
    assert_eq!(
        counted("model_factory_requests_total"),
        BTreeMap::from([
            ("{outcome=\"admitted\"}", 2.0),
            ("{outcome=\"duplicate_request\"}", 1.0),
            ("{outcome=\"duplicate_run\"}", 1.0),
            ("{outcome=\"rejected\"}", 1.0),
        ])
    );
    assert_eq!(counted("model_factory_dead_letters_total"), BTreeMap::from([("{reason=\"MESSAGE_NOT_JSON\"}", 1.0)]));
    assert_eq!(
        counted("model_factory_runs_ended_total"),
        BTreeMap::from([
            ("{state=\"PASS\",reason=\"none\"}", 1.0),
            ("{state=\"PUBLISHED\",reason=\"none\"}", 1.0),
            ("{state=\"FAIL\",reason=\"GATE_FAIL\"}", 1.0),
        ])
    );
    let sent = counted("model_factory_events_sent_total");
    assert_eq!((sent["{kind=\"publication\"}"], sent["{kind=\"dead_letter\"}"]), (1.0, 1.0));
    // Admitted, twice deduplicated, started, measured, passed, pending, published; admitted, started, measured, failed.
    assert!(sent["{kind=\"lifecycle\"}"] >= 12.0, "{sent:?}");
    let delays = page.value("model_factory_relay_delay_seconds_count");
    assert_eq!(delays, sent.values().sum::<f64>());
    let stages = |stage: &str| format!("model_factory_stage_seconds_count{{stage=\"{stage}\",outcome=\"done\"}}");
    let times = ["resolve", "train", "evaluate", "gate", "bundle", "publish"].map(|stage| page.value(&stages(stage)));
    assert_eq!(times, [2.0, 2.0, 2.0, 2.0, 1.0, 1.0]);
    assert_eq!(counted("model_factory_stage_seconds_count").len(), 6, "no stage failed, stopped or was done before");
    assert_eq!(page.value("model_factory_queue_wait_seconds_count"), 2.0);
    assert_eq!(page.value("model_factory_trainer_peak_memory_bytes_count"), 2.0);
    let peak = page.value("model_factory_trainer_peak_memory_bytes_sum") / 2.0;
    assert!((1e6..4e9).contains(&peak), "{peak} bytes");
    for name in [
        "publish_retries_total",
        "publish_exhausted_total",
        "leases_lost_total",
        "stale_writes_refused_total",
        "runs_postponed_total",
        "runs_requeued_total",
        "kafka_denials_total",
        "producers_recreated_total",
        "registry_events_total",
    ] {
        let name = format!("model_factory_{name}");
        assert!(first.series.keys().any(|series| series.starts_with(&name)), "{name} stands at zero from the start");
        assert_eq!(counted(&name), BTreeMap::new());
    }
    assert_eq!(counted("model_factory_rebalances_total"), BTreeMap::from([("{change=\"assigned\"}", 1.0)]));
    let topic = &world.config.kafka.topics.requests;
    let lag = format!("model_factory_consumer_lag{{topic=\"{topic}\",partition=\"0\"}}");
    assert_eq!(page.value(&lag), 0.0);

    // Every code stands at zero from the start, so that the first one is seen as an increase.
    for code in FailureCode::ALL {
        assert_eq!(first.value(&format!("model_factory_dead_letters_total{{reason=\"{code}\"}}")), 0.0);
        assert_eq!(first.value(&format!("model_factory_runs_ended_total{{state=\"FAIL\",reason=\"{code}\"}}")), 0.0);
    }
    assert_eq!(first.series.keys().filter(|series| series.starts_with("model_factory_runs{")).count(), 7);
    for need in ["database", "broker", "store"] {
        assert_eq!(page.value(&format!("model_factory_ready{{need=\"{need}\"}}")), 1.0);
    }
    let loops: BTreeSet<&str> =
        page.series.keys().filter_map(|series| series.strip_prefix("model_factory_loop_late{")).collect();
    let named = ["heartbeats", "intake", "maintenance", "relay", "runner 1"].map(|name| format!("loop=\"{name}\"}}"));
    assert_eq!(loops, named.iter().map(String::as_str).collect());
    assert_eq!(counted("model_factory_loop_late"), BTreeMap::new());
    assert_eq!(
        ["draining", "slots", "slots_busy"].map(|name| page.value(&format!("model_factory_{name}"))),
        [0.0, 1.0, 0.0]
    );
    assert!(page.value("process_resident_memory_bytes") > 1e6 && page.value("process_open_fds") > 3.0);
    let surveyed = page.value("model_factory_ledger_surveyed_timestamp_seconds");
    assert!(surveyed >= first.value("model_factory_ledger_surveyed_timestamp_seconds"));
    assert!(page.value("process_start_time_seconds") <= surveyed + 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_postgres_is_away_the_gauges_of_the_ledger_stand_and_are_not_zero() {
    const DEPTH: &str = "model_factory_queue_depth";
    const SURVEYED: &str = "model_factory_ledger_surveyed_timestamp_seconds";
    const READY: &str = "model_factory_ready{need=\"database\"}";
    let mut postgres = OwnPostgres::start();
    let world = World::on(postgres.url()).await;
    world.send(&[request("req-metrics-0001").to_string().into_bytes()]).await;
    // Without the role `runner` the run waits.
    let worker = world.worker("worker").roles("intake,relay").start();
    let before = page(&worker, "a run that waits", |page| page.series.get(DEPTH) == Some(&1.0)).await;
    assert_eq!(before.value(READY), 1.0);
    postgres.go_away();
    let away = page(&worker, "a database that is away", |page| page.value(READY) == 0.0).await;
    worker.logs("gauges stand still").await;
    let still = page(&worker, "the page", |_| true).await;
    assert_eq!((still.value(DEPTH), still.value("model_factory_runs{state=\"QUEUED\"}")), (1.0, 1.0));
    assert!(still.value(SURVEYED) >= away.value(SURVEYED));
    assert!(!still.series.contains_key("model_factory_ready{need=\"store\"}"), "nobody here needs a store");

    postgres.come_back();
    page(&worker, "a new reading", |page| page.value(SURVEYED) > still.value(SURVEYED) && page.value(READY) == 1.0)
        .await;
}
