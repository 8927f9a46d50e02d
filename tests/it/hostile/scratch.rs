//! What a killed worker leaves in its scratch folder, beside workers that live.

use crate::support::{BOUND, World, act, eventually, request};
use model_factory::adapters::ledger::RunCommand;
use model_factory::domain::run::State;
use nix::sys::signal::Signal;
use serde_json::json;
use std::future::ready;
use std::path::PathBuf;

fn with_training(request_id: &str, training: &str) -> Vec<u8> {
    let mut value = request(request_id);
    value["training_config_ref"] = json!(training);
    value["config_revision"] = json!(request_id);
    value.to_string().into_bytes()
}

fn job_folders(world: &World) -> Vec<PathBuf> {
    std::fs::read_dir(&world.config.trainer.scratch).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_worker_leaves_is_swept_at_a_start_and_later_and_no_live_job_is() {
    let world = World::new().await;
    world.send(&[with_training("req-scratch-left", "profiles/long_training.yaml")]).await;
    // Long leases, so that nobody else takes the run of the killed worker.
    let start = |name: &str| world.worker(name).set("LEDGER__LEASE_SECONDS", "600").set("WORKER__SLOTS", "1").start();
    let mut first = start("first");
    world.trains().await;
    first.signal(Signal::SIGKILL);
    first.exit().await;
    world.trainers_gone().await;
    let left = job_folders(&world);
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].join("data/0.parquet").exists(), "labelled data is left");

    // A worker sweeps when it starts, and then trains.
    let mut second = start("second");
    second.logs("removed what a lost attempt left in scratch").await;
    assert!(!left[0].exists());
    world.send(&[with_training("req-scratch-live", "profiles/long_training.yaml")]).await;
    world.trains().await;
    let live = job_folders(&world);
    assert_eq!(live.len(), 1, "{live:?}");

    // It sweeps later, too: here what another worker leaves that is killed meanwhile. Its own job goes on, and also
    // through the sweep of a third worker that starts.
    let later = world.config.trainer.scratch.join("tr_0123456789abcdef0123456789abcdef-7-abcdef");
    std::fs::create_dir_all(later.join("data")).unwrap();
    std::fs::write(later.join("data/0.parquet"), "labels").unwrap();
    std::fs::write(later.join(".lock"), "").unwrap();
    eventually("a sweep by a worker that runs", BOUND, || ready((!later.exists()).then_some(()))).await;
    let mut third = start("third");
    third.responds("/readyz", 200).await;
    assert_eq!(job_folders(&world), live);
    third.stop().await;

    let run = world.reaches("req-scratch-live", State::Running).await;
    assert_eq!(run.full_run_attempts, 1);
    act(&world.ledger, &run.run_id, RunCommand::Cancel).await.unwrap();
    eventually("the end of the live job", BOUND, || ready(job_folders(&world).is_empty().then_some(()))).await;
    world.send(&[request("req-scratch-good").to_string().into_bytes()]).await;
    world.reaches("req-scratch-good", State::Published).await;
    second.stop().await;
}
