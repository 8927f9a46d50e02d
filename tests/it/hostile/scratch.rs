//! What a killed worker leaves in its scratch folder, beside workers that live.

use crate::support::{BOUND, World, act, bring, eventually, request, revision, sql};
use model_factory::adapters::ledger::RunCommand;
use model_factory::domain::identity::RunId;
use model_factory::domain::run::{Outcome, State};
use nix::sys::signal::Signal;
use serde_json::json;
use std::future::ready;
use std::path::PathBuf;

/// Admits a request whose trainer runs until it is stopped. Admitted here, since no worker of this test is to wait until the
/// group has noticed that another member was killed.
async fn admit_long(world: &World, request_id: &str) -> RunId {
    let mut value = revision(request_id, request_id);
    value["training_config_ref"] = json!("profiles/long_training.yaml");
    match bring(&world.ledger, &value).await {
        Outcome::Admitted { run_id } => run_id,
        other => panic!("{other:?}"),
    }
}

fn job_folders(world: &World) -> Vec<PathBuf> {
    std::fs::read_dir(&world.config.trainer.scratch).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_worker_leaves_is_swept_at_a_start_and_later_and_no_live_job_is() {
    let world = World::new().await;
    admit_long(&world, "req-scratch-left").await;
    // A cancel takes effect when its worker renews the lease, every third of it.
    let start = |name: &str| {
        let worker = world.worker(name).roles("runner,relay");
        worker.set("LEDGER__LEASE_SECONDS", "30").set("WORKER__SLOTS", "1").start()
    };
    let mut first = start("first");
    world.trains().await;
    first.signal(Signal::SIGKILL);
    first.exit().await;
    // Nobody else takes the run of the killed worker.
    sql(&world.config.ledger.url, &["UPDATE runs SET lease_expires_at = now() + interval '1 hour'"]).await;
    world.trainers_gone().await;
    let left = job_folders(&world);
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].join("data/0.parquet").exists(), "labelled data is left");

    // A worker sweeps when it starts, and then trains.
    let mut second = start("second");
    second.logs("removed what a lost attempt left in scratch").await;
    assert!(!left[0].exists());
    let live_run = admit_long(&world, "req-scratch-live").await;
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

    let run = world.ledger.run(&live_run).await.unwrap().unwrap();
    assert_eq!((run.state, run.full_run_attempts), (State::Running, 1));
    act(&world.ledger, &live_run, RunCommand::Cancel).await.unwrap();
    eventually("the end of the live job", BOUND, || ready(job_folders(&world).is_empty().then_some(()))).await;
    bring(&world.ledger, &request("req-scratch-good")).await;
    world.reaches("req-scratch-good", State::Published).await;
    second.stop().await;
}
