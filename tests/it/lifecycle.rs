//! The worker as its orchestrator sees it: is it alive, can it work, does it end in time.

use crate::support::{Worker, World, eventually, request};
use crate::trainer::children_in;
use model_factory::adapters::kafka::{KafkaSettings, MockBroker};
use model_factory::adapters::ledger::RunRecord;
use model_factory::domain::run::State;
use model_factory::tools::dev::PrivatePostgres;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::future::ready;
use std::os::unix::fs::PermissionsExt as _;
use std::process::ExitStatus;
use std::time::{Duration, Instant};
use tokio::task::block_in_place;

const BOUND: Duration = Duration::from_mins(3);

fn start(world: &World, name: &str, settings: &[(&str, &str)]) -> Worker {
    let mut command = world.command(&["worker", "--from", "earliest"]);
    command.env("MODEL_FACTORY_WORKER__LOG_FORMAT", "json").env("TOKIO_WORKER_THREADS", "4");
    command.envs(settings.iter().map(|(key, value)| (format!("MODEL_FACTORY_{key}"), value)));
    Worker::start(command, &world.folder.path().join(format!("{name}.log")))
}

async fn send(world: &World, request_id: &str, training: &str) {
    let mut value = request(request_id);
    value["training_config_ref"] = json!(training);
    value["config_revision"] = json!(request_id);
    world.send(&[value.to_string().into_bytes()]).await;
}

async fn run_of(world: &World, request_id: &str) -> RunRecord {
    eventually("the run", BOUND, || async { world.ledger.run_of_request(request_id).await.unwrap() }).await
}

async fn training(world: &World) {
    let scratch = &world.config.trainer.scratch;
    eventually("a trainer", BOUND, || ready((!children_in(scratch).is_empty()).then_some(()))).await;
}

async fn says(worker: &Worker, text: &str) {
    eventually(text, BOUND, || ready(worker.said().contains(text).then_some(()))).await;
}

async fn end(worker: &mut Worker) -> ExitStatus {
    eventually("the worker's end", BOUND, || ready(worker.ended())).await
}

/// Waits for this status of a check, and gives its body.
async fn answers(worker: &Worker, path: &str, status: u16) -> Value {
    let asked = || ready(worker.health(path).filter(|(found, _)| *found == status));
    eventually(&format!("{status} of {path}"), BOUND, asked).await.1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_drains_finishes_the_run_in_hand_and_claims_no_other() {
    let world = World::new().await;
    let mut worker = start(&world, "draining", &[("WORKER__DRAIN_SECONDS", "170")]);
    send(&world, "req-drain-0001", "profiles/steady_training.yaml").await;
    training(&world).await;
    send(&world, "req-drain-0002", "profiles/steady_training.yaml").await;
    run_of(&world, "req-drain-0002").await;
    worker.signal(Signal::SIGTERM);
    // It still answers, and asks for no more work.
    assert_eq!(answers(&worker, "/readyz", 503).await["status"], "draining");
    assert_eq!(answers(&worker, "/livez", 200).await["status"], "ok");
    assert!(end(&mut worker).await.success());
    let (done, waiting) = (run_of(&world, "req-drain-0001").await, run_of(&world, "req-drain-0002").await);
    assert_eq!((done.state, done.full_run_attempts, done.fence), (State::Published, 1, 1), "{}", worker.said());
    assert_eq!((waiting.state, waiting.full_run_attempts, waiting.fence), (State::Queued, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_stops_a_drain_at_once() {
    let world = World::new().await;
    let mut worker = start(&world, "impatient", &[("WORKER__DRAIN_SECONDS", "3600")]);
    send(&world, "req-second-0001", "profiles/long_training.yaml").await;
    training(&world).await;
    worker.signal(Signal::SIGTERM);
    says(&worker, "draining").await;
    worker.signal(Signal::SIGTERM);
    assert_eq!(end(&mut worker).await.code(), Some(1));
    // Nothing was given back: whoever is next rescues it, as after a crash.
    let run = run_of(&world, "req-second-0001").await;
    assert_eq!((run.state, run.full_run_attempts), (State::Running, 1));
    let scratch = &world.config.trainer.scratch;
    eventually("the trainer's end", BOUND, || ready(children_in(scratch).is_empty().then_some(()))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_cannot_be_stopped_is_given_back_all_the_same_and_another_worker_completes_it() {
    let world = World::new().await;
    let mark = world.folder.path().join("mark").display().to_string();
    let error = [
        ("FAULT__POINT", "evaluate.before"),
        ("FAULT__ACTION", "stall"),
        ("FAULT__MARK", mark.as_str()),
        ("FAULT__DATABASE_PORT", "0"),
    ];
    let mut stuck = start(&world, "stuck", &error);
    send(&world, "req-stuck-0001", "profiles/steady_training.yaml").await;
    says(&stuck, "a fault is injected").await;
    stuck.signal(Signal::SIGTERM);
    assert_eq!(end(&mut stuck).await.code(), Some(1));
    says(&stuck, "did not end within the time for draining: runner").await;
    let run = run_of(&world, "req-stuck-0001").await;
    assert_eq!((run.state, run.full_run_attempts, run.fence), (State::Queued, 0, 1));

    let _next = start(&world, "next", &[]);
    let run = eventually("the publication", BOUND, || async {
        let run = run_of(&world, "req-stuck-0001").await;
        (run.state == State::Published).then_some(run)
    })
    .await;
    assert_eq!((run.full_run_attempts, run.fence), (1, 2), "no attempt was lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_that_is_stuck_fails_livez_by_its_name() {
    let world = World::new().await;
    let mark = world.folder.path().join("mark").display().to_string();
    let settings = [
        ("WORKER__STALL_SECONDS", "5"),
        ("FAULT__POINT", "intake.polled"),
        ("FAULT__ACTION", "stall"),
        ("FAULT__MARK", mark.as_str()),
        ("FAULT__DATABASE_PORT", "0"),
    ];
    let version = world.says(&["--version"]);
    assert!(version.contains(env!("CARGO_PKG_VERSION")) && version.contains("\ncommit: "), "{version}");
    let worker = start(&world, "stuck", &settings);
    let alive = answers(&worker, "/livez", 200).await;
    assert_eq!(alive["version"], env!("CARGO_PKG_VERSION"));
    let (_, metrics) = worker.health("/metrics").unwrap();
    assert!(metrics.as_str().unwrap().contains("model_factory_build_info{version="), "{metrics}");
    send(&world, "req-livez-0001", "profiles/steady_training.yaml").await;
    let named = || ready(worker.health("/livez").filter(|(_, body)| body["stuck"] == json!(["intake"])));
    let (status, body) = eventually("a stuck intake", BOUND, named).await;
    assert_eq!((status, &body["status"]), (503, &json!("stuck")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_that_trains_for_longer_than_the_bound_is_not_stuck() {
    let world = World::new().await;
    let worker = start(&world, "patient", &[("WORKER__STALL_SECONDS", "1")]);
    send(&world, "req-patient-0001", "profiles/long_training.yaml").await;
    training(&world).await;
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(4) && !children_in(&world.config.trainer.scratch).is_empty() {
        // The other loops may be late on a busy machine; this one waits for its trainer.
        let (_, body) = worker.health("/livez").unwrap();
        assert!(!body["stuck"].as_array().unwrap().contains(&json!("runner 1")), "{body}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(since.elapsed() > Duration::from_secs(2), "the trainer ended before anything could be seen");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readyz_names_what_is_not_at_hand() {
    let place = tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o755)).tempdir().unwrap();
    let folder = place.path().join("postgres");
    let postgres = PrivatePostgres::start(&folder).unwrap();
    let port = postgres.port();
    let mut kafka = KafkaSettings::default();
    let broker = MockBroker::start(&kafka.topics, 1).unwrap();
    kafka.brokers = broker.brokers();
    let world = World::between(kafka, postgres.url("postgres")).await;
    let worker = start(&world, "ready", &[]);
    answers(&worker, "/readyz", 200).await;
    let missing = |name: &'static str| {
        let asked = worker.health("/readyz").filter(|(_, body)| {
            body["missing"].as_object().is_some_and(|missing| missing.len() == 1 && missing.contains_key(name))
        });
        ready(asked)
    };

    block_in_place(|| drop(postgres));
    let (status, body) = eventually("no database", BOUND, || missing("database")).await;
    assert_eq!((status, &body["status"]), (503, &json!("not ready")));
    assert_eq!(
        answers(&worker, "/livez", 200).await["status"],
        "ok",
        "a database that is away is no reason to restart"
    );
    let _postgres = block_in_place(|| PrivatePostgres::start_at(&folder, port)).unwrap();
    answers(&worker, "/readyz", 200).await;

    broker.go_down().unwrap();
    eventually("no broker", BOUND, || missing("broker")).await;
    broker.come_back().unwrap();
    answers(&worker, "/readyz", 200).await;

    let (store, aside) = (world.folder.path().join("evidence"), world.folder.path().join("aside"));
    std::fs::rename(&store, &aside).unwrap();
    eventually("no store", BOUND, || missing("store")).await;
    std::fs::rename(&aside, &store).unwrap();
    answers(&worker, "/readyz", 200).await;
}
