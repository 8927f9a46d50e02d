//! The worker as its orchestrator sees it: whether it is alive, whether it can work, whether it ends in time.

use crate::support::{BOUND, OwnPostgres, Worker, World, children_in, eventually, request};
use model_factory::adapters::kafka::{KafkaSettings, MockBroker};
use model_factory::adapters::ledger::RunRecord;
use model_factory::domain::run::State;
use nix::sys::signal::Signal;
use serde_json::json;
use std::future::ready;
use std::time::{Duration, Instant};

fn start(world: &World, name: &str, settings: &[(&str, &str)]) -> Worker {
    world.worker(name).set_all(settings).start()
}

/// A worker with an injected fault that stalls the loop which comes to this point.
fn start_stalled(world: &World, point: &str, settings: &[(&str, &str)]) -> Worker {
    let mark = world.folder.path().join("mark");
    world.worker("stalled").set_all(settings).failpoint(point, "stall", &mark).start()
}

async fn send(world: &World, request_id: &str, training: &str) {
    let mut value = request(request_id);
    value["training_config_ref"] = json!(training);
    value["config_revision"] = json!(request_id);
    world.send(&[value.to_string().into_bytes()]).await;
}

/// The run of a request, once it is admitted.
async fn run_of(world: &World, request_id: &str) -> RunRecord {
    eventually("the run", BOUND, || async { world.ledger.run_of_request(request_id).await.unwrap() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_drains_finishes_the_run_in_hand_and_claims_no_other() {
    let world = World::new().await;
    let mut worker = start(&world, "draining", &[("WORKER__DRAIN_SECONDS", "170")]);
    send(&world, "req-drain-0001", "profiles/steady_training.yaml").await;
    world.trains().await;
    send(&world, "req-drain-0002", "profiles/steady_training.yaml").await;
    run_of(&world, "req-drain-0002").await;
    worker.signal(Signal::SIGTERM);
    // It still responds, and is not ready for work.
    assert_eq!(worker.responds("/readyz", 503).await["status"], "draining");
    assert_eq!(worker.responds("/livez", 200).await["status"], "ok");
    assert!(worker.exit().await.success());
    let (done, waiting) = (run_of(&world, "req-drain-0001").await, run_of(&world, "req-drain-0002").await);
    assert_eq!((done.state, done.full_run_attempts, done.fence), (State::Published, 1, 1), "{}", worker.log());
    assert_eq!((waiting.state, waiting.full_run_attempts, waiting.fence), (State::Queued, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_stops_a_drain_at_once() {
    let world = World::new().await;
    let mut worker = start(&world, "impatient", &[("WORKER__DRAIN_SECONDS", "3600")]);
    send(&world, "req-second-0001", "profiles/long_training.yaml").await;
    world.trains().await;
    worker.signal(Signal::SIGTERM);
    worker.logs("draining").await;
    worker.signal(Signal::SIGTERM);
    assert_eq!(worker.exit().await.code(), Some(1));
    // Nothing is given back: the next worker rescues the run, as after a crash.
    let run = run_of(&world, "req-second-0001").await;
    assert_eq!((run.state, run.full_run_attempts), (State::Running, 1));
    world.trainers_gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_cannot_be_stopped_is_given_back_all_the_same_and_another_worker_completes_it() {
    let world = World::new().await;
    let mut stuck = start_stalled(&world, "evaluate.before", &[]);
    send(&world, "req-stuck-0001", "profiles/steady_training.yaml").await;
    stuck.logs("a fault is injected").await;
    stuck.signal(Signal::SIGTERM);
    assert_eq!(stuck.exit().await.code(), Some(1));
    stuck.logs("did not end within the time for draining: runner").await;
    let run = run_of(&world, "req-stuck-0001").await;
    assert_eq!((run.state, run.full_run_attempts, run.fence), (State::Queued, 0, 1));

    let _next = start(&world, "next", &[]);
    let run = world.reaches("req-stuck-0001", State::Published).await;
    assert_eq!((run.full_run_attempts, run.fence), (1, 2), "no attempt was lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_that_is_stuck_fails_livez_by_its_name() {
    let world = World::new().await;
    let version = world.stdout(&["--version"]);
    assert!(version.contains(env!("CARGO_PKG_VERSION")) && version.contains("\ncommit: "), "{version}");
    let worker = start_stalled(&world, "intake.polled", &[("WORKER__STALL_SECONDS", "5")]);
    let alive = worker.responds("/livez", 200).await;
    assert_eq!(alive["version"], env!("CARGO_PKG_VERSION"));
    let (_, metrics) = worker.get("/metrics").unwrap();
    assert!(metrics.as_str().unwrap().contains("model_factory_build_info{version="), "{metrics}");
    send(&world, "req-livez-0001", "profiles/steady_training.yaml").await;
    let named = || ready(worker.get("/livez").filter(|(_, body)| body["stuck"] == json!(["intake"])));
    let (status, body) = eventually("a stuck intake", BOUND, named).await;
    assert_eq!((status, &body["status"]), (503, &json!("stuck")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_that_trains_for_longer_than_the_bound_is_not_stuck() {
    let world = World::new().await;
    let worker = start(&world, "patient", &[("WORKER__STALL_SECONDS", "1")]);
    send(&world, "req-patient-0001", "profiles/long_training.yaml").await;
    world.trains().await;
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(4) && !children_in(&world.config.trainer.scratch).is_empty() {
        // The other loops may be late on a busy machine; this one waits for its trainer.
        let (_, body) = worker.get("/livez").unwrap();
        assert!(!body["stuck"].as_array().unwrap().contains(&json!("runner 1")), "{body}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(since.elapsed() > Duration::from_secs(2), "the trainer ended before anything could be seen");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readyz_names_what_is_missing() {
    let mut postgres = OwnPostgres::start();
    let mut kafka = KafkaSettings::default();
    let broker = MockBroker::start(&kafka.topics, 1).unwrap();
    kafka.brokers = broker.brokers();
    let world = World::between(kafka, postgres.url()).await;
    let worker = start(&world, "ready", &[]);
    worker.responds("/readyz", 200).await;
    let missing = |name: &'static str| {
        let response = worker.get("/readyz").filter(|(_, body)| {
            body["missing"].as_object().is_some_and(|missing| missing.len() == 1 && missing.contains_key(name))
        });
        ready(response)
    };

    postgres.go_away();
    let (status, body) = eventually("no database", BOUND, || missing("database")).await;
    assert_eq!((status, &body["status"]), (503, &json!("not ready")));
    assert_eq!(worker.responds("/livez", 200).await["status"], "ok", "a database that is away is no reason to restart");
    postgres.come_back();
    worker.responds("/readyz", 200).await;

    broker.go_down().unwrap();
    eventually("no broker", BOUND, || missing("broker")).await;
    broker.come_back().unwrap();
    worker.responds("/readyz", 200).await;

    let (store, aside) = (world.folder.path().join("evidence"), world.folder.path().join("aside"));
    std::fs::rename(&store, &aside).unwrap();
    eventually("no store", BOUND, || missing("store")).await;
    std::fs::rename(&aside, &store).unwrap();
    worker.responds("/readyz", 200).await;
}
