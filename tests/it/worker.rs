//! The worker as a process: killed in the middle, drained, and started again.

use crate::checker::{check, collect, drained};
use crate::support::{World, eventually, request};
use crate::trainer::children_in;
use model_factory::domain::run::State;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;

const BOUND: Duration = Duration::from_mins(3);

/// Ends the worker when the test ends, however it ends.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(world: &World, name: &str) -> Worker {
    let log = std::fs::File::create(world.folder.path().join(format!("{name}.log"))).unwrap();
    let mut command = world.command(&["worker", "--from", "earliest"]);
    command.env("MODEL_FACTORY_WORKER__LOG_FORMAT", "json").env("MODEL_FACTORY_WORKER__DRAIN_SECONDS", "1");
    Worker(command.stdout(Stdio::null()).stderr(log).spawn().unwrap())
}

async fn training(world: &World) {
    eventually("a trainer", BOUND, || async { (!children_in(&world.config.trainer.scratch).is_empty()).then_some(()) })
        .await;
}

async fn state_of(world: &World, request_id: &str, wanted: State) {
    eventually(wanted.as_str(), BOUND, || async {
        let run = world.ledger.run_of_request(request_id).await.unwrap()?;
        assert_ne!(run.state, State::Fail, "{:?}", run.reason_message);
        (run.state == wanted).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_worker_was_killed_is_finished_by_another_and_published_once() {
    let world = World::new().await;
    let mut steady = request("req-kill-0001");
    steady["training_config_ref"] = json!("profiles/steady_training.yaml");
    world.send(&[steady.to_string().into_bytes()]).await;
    let mut first = start(&world, "first");
    training(&world).await;
    first.0.kill().unwrap();
    first.0.wait().unwrap();
    eventually("the trainer's end", BOUND, || async {
        children_in(&world.config.trainer.scratch).is_empty().then_some(())
    })
    .await;

    let _second = start(&world, "second");
    state_of(&world, "req-kill-0001", State::Published).await;
    let run = world.ledger.run_of_request("req-kill-0001").await.unwrap().unwrap();
    assert_eq!((run.full_run_attempts, run.fence), (2, 2));
    let steps: Vec<String> =
        world.ledger.transitions(&run.run_id).await.unwrap().into_iter().map(|step| step.transition).collect();
    assert_eq!(steps, ["START", "REQUEUE", "START", "FINISH_EVALUATION", "PASS_GATE", "REQUEST_PUBLISH", "PUBLISH"]);
    // What the killed worker had sent and not marked may be on the topic twice; the checker knows.
    let history = eventually("a drained outbox", BOUND, || async {
        let history = collect(&world).await;
        drained(&history).then_some(history)
    })
    .await;
    assert_eq!(check(&history), []);
    assert_eq!(history.publications.len(), 1);
    let runs = world.folder.path().join("evidence").join(&run.request.platform_run_id).join("mf/train_runs");
    assert_eq!(std::fs::read_dir(runs).unwrap().count(), 1);
}

fn signal(worker: &Worker, signal: nix::sys::signal::Signal) {
    let pid = i32::try_from(worker.0.id()).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
}

/// Writes that the ledger refused this worker, by its own count.
fn refused(world: &World, name: &str) -> Option<f64> {
    let log = std::fs::read_to_string(world.folder.path().join(format!("{name}.log"))).unwrap();
    let address = log.lines().find_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        Some(line.get("http")?.as_str()?.to_owned())
    })?;
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: worker\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let counts = text.lines().filter(|line| line.starts_with("model_factory_stale_writes_refused_total{"));
    let counts: Vec<f64> = counts.filter_map(|line| line.split_whitespace().last()?.parse().ok()).collect();
    Some(counts.iter().sum())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_sleeps_through_its_lease_wakes_up_without_a_say() {
    let world = World::new().await;
    let mut steady = request("req-sleep-0001");
    steady["training_config_ref"] = json!("profiles/steady_training.yaml");
    world.send(&[steady.to_string().into_bytes()]).await;
    let sleeper = start(&world, "sleeper");
    training(&world).await;
    signal(&sleeper, nix::sys::signal::Signal::SIGSTOP);
    let _other = start(&world, "other");
    state_of(&world, "req-sleep-0001", State::Published).await;
    // With its receipt, which any worker may write.
    let stands = eventually("the receipt of the publication", BOUND, || async {
        let run = world.ledger.run_of_request("req-sleep-0001").await.unwrap().unwrap();
        run.refs.contains_key("publish_receipt").then_some(run)
    })
    .await;
    assert_eq!((stands.full_run_attempts, stands.fence), (2, 2));

    signal(&sleeper, nix::sys::signal::Signal::SIGCONT);
    eventually("a refused write", BOUND, || {
        let count = refused(&world, "sleeper");
        async move { count.filter(|&count| count >= 1.0) }
    })
    .await;
    // It has been told, and has ended its trainer.
    eventually("the trainer's end", BOUND, || async {
        children_in(&world.config.trainer.scratch).is_empty().then_some(())
    })
    .await;
    let run = world.ledger.run_of_request("req-sleep-0001").await.unwrap().unwrap();
    assert_eq!((run.state, run.fence, run.refs), (State::Published, 2, stands.refs));
    let history = collect(&world).await;
    assert_eq!(history.publications.len(), 1);
    assert_eq!(check(&history), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_outlives_the_drain_is_given_back_without_costing_an_attempt() {
    let world = World::new().await;
    let mut long = request("req-drain-0001");
    long["training_config_ref"] = json!("profiles/long_training.yaml");
    world.send(&[long.to_string().into_bytes()]).await;
    let mut worker = start(&world, "drained");
    training(&world).await;
    signal(&worker, nix::sys::signal::Signal::SIGTERM);
    let status = eventually("the worker's end", BOUND, || {
        let status = worker.0.try_wait().unwrap();
        async move { status }
    })
    .await;
    assert!(status.success(), "{status}");
    let run = world.ledger.run_of_request("req-drain-0001").await.unwrap().unwrap();
    assert_eq!((run.state, run.full_run_attempts), (State::Queued, 0));
    assert!(children_in(&world.config.trainer.scratch).is_empty());
}
