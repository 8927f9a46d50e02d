//! What is away, late or used up around one run: no run pays for it with an attempt, and none ends because of it.

use crate::support::{
    BOUND, OwnPostgres, Worker, World, act, count, data, end_backoff, eventually, request, sql, took, turn,
};
use model_factory::adapters::ledger::{RunCommand, RunRecord};
use model_factory::domain::run::{FailureCode, State};
use model_factory::worker::runner::RunnerOutcome;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// A good request with a meaning of its own, quick to train.
fn quick(id: &str) -> Value {
    let mut value = request(id);
    value["config_revision"] = json!(id);
    value["training_config_ref"] = json!(crate::negative_paths::inputs::quick());
    value
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// A request whose manifest nobody has uploaded yet, and where it belongs.
fn early(id: &str) -> (Value, PathBuf) {
    let reference = format!("hostile/{id}.json");
    let mut value = quick(id);
    value["dataset_manifest_refs"] = json!([reference]);
    let path = data().folder.join(reference);
    let _ = std::fs::remove_file(&path);
    (value, path)
}

fn upload(path: &PathBuf) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::copy(data().folder.join(&data().inputs.manifest), path).unwrap();
}

async fn tried(world: &World, id: &str, tries: i32) -> RunRecord {
    eventually(&format!("{tries} tries of {id}"), BOUND, || async {
        end_backoff(&world.config.ledger.url).await;
        let run = world.ledger.run_of_request(id).await.unwrap()?;
        assert_ne!(run.state, State::Fail, "{:?}", run.reason_message);
        (run.outage_tries >= tries).then_some(run)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_waits_for_a_manifest_that_is_uploaded_after_its_request_and_holds_up_nobody() {
    let world = World::new().await;
    let (late, path) = early("req-late-0001");
    let (never, _) = early("req-never-0001");
    world.send(&[bytes(&late), bytes(&never), bytes(&quick("req-beside-0001"))]).await;
    world.admit(3).await;
    let runner = world.runner("runner-1", 2).await;
    let (_stop, shutdown) = watch::channel(false);
    while turn(&runner, &shutdown).await != RunnerOutcome::Idle {}
    assert_eq!(world.run("req-beside-0001").await.state, State::PublishPending, "it waits for nobody's manifest");
    while world.run("req-late-0001").await.outage_tries < 5 {
        assert_eq!(world.run("req-late-0001").await.state, State::Queued);
        // However long a run trains between two outages, that uses up no patience.
        let earlier = "UPDATE runs SET outage_since = outage_since - interval '2 hours'";
        sql(&world.config.ledger.url, &[earlier]).await;
        end_backoff(&world.config.ledger.url).await;
        while turn(&runner, &shutdown).await != RunnerOutcome::Idle {}
    }
    let run = world.run("req-late-0001").await;
    assert_eq!((run.state, run.full_run_attempts), (State::Queued, 0));
    assert_eq!(run.reason_code.as_deref(), Some(FailureCode::ManifestUnresolved.as_str()));
    assert!(run.reason_message.unwrap().starts_with("tried again at "), "it says so");
    assert!(run.available_at - run.updated_at > chrono::TimeDelta::seconds(30), "pauses grow");
    let shown = world.stdout(&["runs", "show", run.run_id.as_str()]);
    assert!(shown.contains(&format!("for what it needs, after {} tries", run.outage_tries)), "{shown}");

    upload(&path);
    let cancelled = world.run("req-never-0001").await.run_id;
    assert_eq!(act(&world.ledger, &cancelled, RunCommand::Cancel).await, Ok(State::Fail), "a cancel works meanwhile");
    end_backoff(&world.config.ledger.url).await;
    while turn(&runner, &shutdown).await != RunnerOutcome::Idle {}
    let run = world.run("req-late-0001").await;
    assert_eq!((run.state, run.full_run_attempts, run.outage_since), (State::PublishPending, 1, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_its_patience_is_over_a_run_ends_within_the_bound_on_attempts_and_names_the_cause() {
    let world = World::new().await;
    world.send(&[bytes(&early("req-gone-0001").0)]).await;
    world.admit(1).await;
    let runner = world.runner("runner-1", 2).await;
    let (_stop, shutdown) = watch::channel(false);
    turn(&runner, &shutdown).await;
    // Another worker goes on where this one was. Only the row knows how long the run has waited.
    let runner = world.runner("runner-2", 2).await;
    for attempts in 1..=3 {
        assert_eq!(world.run("req-gone-0001").await.full_run_attempts, attempts - 1);
        // 35 pauses are an hour.
        let later = "UPDATE runs SET available_at = now(), outage_tries = greatest(outage_tries, 35)";
        sql(&world.config.ledger.url, &[later]).await;
        turn(&runner, &shutdown).await;
    }
    let run = world.run("req-gone-0001").await;
    let message = run.reason_message.unwrap();
    assert_eq!((run.state, run.reason_code.as_deref()), (State::Fail, Some("ATTEMPTS_EXHAUSTED")), "{message}");
    assert!(message.contains("MANIFEST_UNRESOLVED") && message.contains("was not found"), "{message}");
    assert_eq!(act(&world.ledger, &run.run_id, RunCommand::Requeue).await, Ok(State::Queued));
    let run = world.run("req-gone-0001").await;
    assert_eq!((run.outage_since, run.outage_tries), (None, 0), "a person asked again: a new patience");
}

/// Has the kernel refuse every further descriptor to a worker, as if others held them all.
fn without_descriptors(worker: &Worker) -> rustix::process::Rlimit {
    let pid = worker.pid();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let open: BTreeSet<u64> = open.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    // The kernel gives out the lowest free number, if that is below the limit; what is open stays open.
    limit_descriptors(worker, (0..4_096).find(|number| !open.contains(number)))
}

fn limit_descriptors(worker: &Worker, current: Option<u64>) -> rustix::process::Rlimit {
    use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let pid = Pid::from_raw(worker.pid()).unwrap();
    prlimit(Some(pid), Resource::Nofile, Rlimit { current, maximum }).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_without_descriptors_takes_no_attempt_from_a_run_and_goes_on_once_it_has_some() {
    let world = World::new().await;
    let worker = world.worker("poor").start();
    // Every connection of the worker is open by now.
    world.send(&[bytes(&quick("req-before-0001"))]).await;
    world.reaches("req-before-0001", State::Published).await;
    let usual = without_descriptors(&worker);
    world.send(&[bytes(&quick("req-victim-0001"))]).await;
    let run = tried(&world, "req-victim-0001", 4).await;
    assert_eq!(run.full_run_attempts, i32::from(run.state != State::Queued), "{:?}", run.reason_message);
    limit_descriptors(&worker, usual.current);
    end_backoff(&world.config.ledger.url).await;
    let run = world.reaches("req-victim-0001", State::Published).await;
    assert_eq!(run.full_run_attempts, 1);
    assert_eq!(worker.responds("/readyz", 200).await["status"], "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_evidence_store_is_away_a_worker_does_not_go_through_the_queue_and_no_run_ends() {
    const RUNS: usize = 8;
    let world = World::new().await;
    let worker = world.worker("storeless").start();
    worker.responds("/readyz", 200).await;
    let (store, aside) = (world.folder.path().join("evidence"), world.folder.path().join("aside"));
    std::fs::rename(&store, &aside).unwrap();
    std::fs::write(&store, "no folder").unwrap();
    let ids: Vec<String> = (0..RUNS).map(|index| format!("req-queued-{index:04}")).collect();
    world.send(&ids.iter().map(|id| bytes(&quick(id))).collect::<Vec<_>>()).await;
    world.decided(RUNS).await;
    eventually("four tries", BOUND, || async { (outages(&world).await >= 4).then_some(()) }).await;
    assert_eq!(worker.responds("/readyz", 503).await["missing"]["attempts"].as_str().map(str::is_empty), Some(false));
    assert_eq!(count(&world.config.ledger.url, "runs WHERE state = 'FAIL' OR full_run_attempts > 1").await, 0);
    assert!(outages(&world).await < 8, "the others are left alone");

    std::fs::remove_file(&store).unwrap();
    std::fs::rename(&aside, &store).unwrap();
    let published = "runs WHERE state = 'PUBLISHED' AND full_run_attempts = 1";
    eventually("every publication", BOUND, || async {
        (count(&world.config.ledger.url, published).await == RUNS as i64).then_some(())
    })
    .await;
}

/// Lets a request end without training as soon as its manifests can be read, so that the test is quick.
fn fruitless(mut value: Value) -> Value {
    value["governance_profile_ref"] = value["training_config_ref"].clone();
    value
}

/// Runs of fruitless requests that reached their end in one attempt.
const FRUITLESS: &str =
    "runs WHERE state = 'FAIL' AND reason_code = 'GOVERNANCE_PROFILE_INVALID' AND full_run_attempts = 1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_inputs_are_away_every_run_waits_and_goes_on_once_they_are_back() {
    const RUNS: usize = 20;
    let world = World::new().await;
    let early: Vec<_> = (0..RUNS).map(|index| early(&format!("req-input-{index:04}"))).collect();
    world.send(&early.iter().map(|(value, _)| bytes(&fruitless(value.clone()))).collect::<Vec<_>>()).await;
    world.admit(RUNS).await;
    let runner = world.runner("runner-1", 2).await;
    let (_stop, shutdown) = watch::channel(false);
    // More tries than the bound on attempts allows.
    while count(&world.config.ledger.url, "runs WHERE outage_tries < 4").await > 0 {
        assert_eq!(count(&world.config.ledger.url, "runs WHERE state = 'FAIL'").await, 0);
        end_backoff(&world.config.ledger.url).await;
        while turn(&runner, &shutdown).await != RunnerOutcome::Idle {}
    }
    assert_eq!(count(&world.config.ledger.url, "runs WHERE state <> 'QUEUED' OR full_run_attempts > 0").await, 0);
    for (_, path) in &early {
        upload(path);
    }
    end_backoff(&world.config.ledger.url).await;
    while turn(&runner, &shutdown).await != RunnerOutcome::Idle {}
    assert_eq!(count(&world.config.ledger.url, FRUITLESS).await, RUNS as i64);
}

async fn outages(world: &World) -> i64 {
    count(&world.config.ledger.url, "transitions WHERE transition = 'REQUEUE'").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_is_away_for_longer_than_a_lease_costs_no_attempt() {
    let mut postgres = OwnPostgres::start();
    let world = World::on(postgres.url()).await;
    let worker = world.worker("cut-off").set("LEDGER__MAX_FULL_ATTEMPTS", "1").start();
    let mut value = request("req-cutoff-0001");
    value["training_config_ref"] = json!("profiles/steady_training.yaml");
    world.send(&[bytes(&value)]).await;
    world.trains().await;
    postgres.go_away();
    world.trainers_gone().await;
    postgres.come_back();
    // With a bound of one attempt, a counted one would have ended the run.
    let again = async || {
        let run = world.ledger.run_of_request("req-cutoff-0001").await.ok()??;
        assert_ne!(run.state, State::Fail, "{:?}: {}", run.reason_message, worker.log());
        (run.state == State::Running && run.fence > 1).then_some(run)
    };
    let run = eventually("the next attempt", BOUND, again).await;
    assert_eq!(run.full_run_attempts, 1);
    world.trains().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_every_slot_is_busy_a_killed_workers_run_is_queued_again_soon_after_its_lease() {
    const LEASE: Duration = Duration::from_secs(6);
    let world = World::new().await;
    let long = |id: &str| {
        let mut value = quick(id);
        value["training_config_ref"] = json!("profiles/long_training.yaml");
        bytes(&value)
    };
    let start = |name: &str| {
        world.worker(name).set("LEDGER__LEASE_SECONDS", LEASE.as_secs().to_string()).set("WORKER__SLOTS", "1").start()
    };
    let mut killed = start("killed");
    world.send(&[long("req-orphan-0001")]).await;
    world.trains().await;
    let _busy = start("busy");
    world.send(&[long("req-busy-0001")]).await;
    world.reaches("req-busy-0001", State::Running).await;
    killed.signal(Signal::SIGKILL);
    let since = Instant::now();
    killed.exit().await;
    let run = world.reaches("req-orphan-0001", State::Queued).await;
    took("with every slot busy, a killed worker's run is queued again after", since.elapsed());
    assert!(since.elapsed() < LEASE + Duration::from_secs(5), "{:?}", since.elapsed());
    assert_eq!(run.reason_code.as_deref(), Some(FailureCode::LeaseExpired.as_str()));
    let busy = world.run("req-busy-0001").await;
    assert_eq!((busy.state, busy.full_run_attempts), (State::Running, 1), "the other one trains on");
}
