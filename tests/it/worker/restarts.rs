//! The worker as a process: killed in the middle of a run, asleep beyond its lease, drained.

use crate::checker::{check, collect, drained};
use crate::support::{BOUND, Worker, World, children_in, eventually, request};
use model_factory::domain::run::State;
use nix::sys::signal::Signal;
use serde_json::json;

fn start(world: &World, name: &str) -> Worker {
    world.worker(name).set("WORKER__DRAIN_SECONDS", "1").start()
}

/// Sends a request that trains by this profile.
async fn send(world: &World, request_id: &str, training: &str) {
    let mut value = request(request_id);
    value["training_config_ref"] = json!(training);
    world.send(&[value.to_string().into_bytes()]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_worker_was_killed_is_finished_by_another_and_published_once() {
    let world = World::new().await;
    send(&world, "req-kill-0001", "profiles/steady_training.yaml").await;
    let mut first = start(&world, "first");
    world.trains().await;
    first.signal(Signal::SIGKILL);
    first.exit().await;
    world.trainers_gone().await;

    let _second = start(&world, "second");
    let run = world.reaches("req-kill-0001", State::Published).await;
    assert_eq!((run.full_run_attempts, run.fence), (2, 2));
    let steps: Vec<String> =
        world.ledger.transitions(&run.run_id).await.unwrap().into_iter().map(|step| step.transition).collect();
    assert_eq!(steps, ["START", "REQUEUE", "START", "FINISH_EVALUATION", "PASS_GATE", "REQUEST_PUBLISH", "PUBLISH"]);
    // An event that the killed worker sent and did not mark may be on the topic twice; the checker allows that.
    let history = eventually("an empty outbox", BOUND, || async {
        let history = collect(&world).await;
        drained(&history).then_some(history)
    })
    .await;
    assert_eq!(check(&history), []);
    assert_eq!(history.publications.len(), 1);
    let runs = world.folder.path().join("evidence").join(&run.request.platform_run_id).join("mf/train_runs");
    assert_eq!(std::fs::read_dir(runs).unwrap().count(), 1);
}

/// Writes that the ledger refused this worker, by the worker's own count.
fn refused_writes(worker: &Worker) -> Option<f64> {
    let (_, metrics) = worker.get("/metrics")?;
    let lines = metrics.as_str()?.lines();
    let counts = lines.filter(|line| line.starts_with("model_factory_stale_writes_refused_total{"));
    Some(counts.filter_map(|line| line.split_whitespace().last()?.parse::<f64>().ok()).sum())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_sleeps_through_its_lease_wakes_up_without_a_say() {
    let world = World::new().await;
    send(&world, "req-sleep-0001", "profiles/steady_training.yaml").await;
    let sleeper = start(&world, "sleeper");
    world.trains().await;
    sleeper.signal(Signal::SIGSTOP);
    let _other = start(&world, "other");
    world.reaches("req-sleep-0001", State::Published).await;
    // Any worker may write the receipt; the row changes once more then.
    let published = eventually("the receipt of the publication", BOUND, || async {
        let run = world.run("req-sleep-0001").await;
        run.refs.contains_key("publish_receipt").then_some(run)
    })
    .await;
    assert_eq!((published.full_run_attempts, published.fence), (2, 2));

    sleeper.signal(Signal::SIGCONT);
    eventually("a refused write", BOUND, || std::future::ready(refused_writes(&sleeper).filter(|&count| count >= 1.0)))
        .await;
    // The sleeper has noticed, and ends its trainer.
    world.trainers_gone().await;
    let run = world.run("req-sleep-0001").await;
    assert_eq!((run.state, run.fence, run.refs), (State::Published, 2, published.refs));
    let history = collect(&world).await;
    assert_eq!(history.publications.len(), 1);
    assert_eq!(check(&history), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_outlives_the_drain_is_given_back_without_costing_an_attempt() {
    let world = World::new().await;
    send(&world, "req-drain-0001", "profiles/long_training.yaml").await;
    let mut worker = start(&world, "drained");
    world.trains().await;
    worker.stop().await;
    let run = world.run("req-drain-0001").await;
    assert_eq!((run.state, run.full_run_attempts), (State::Queued, 0));
    assert!(children_in(&world.config.trainer.scratch).is_empty());
}
