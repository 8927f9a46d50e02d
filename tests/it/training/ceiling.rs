//! A worker's limits on its trainers are not part of plan or bundle.

use crate::support::{World, end_backoff, request};
use model_factory::domain::identity::RunId;
use model_factory::domain::run::{Outcome, State};
use serde_json::Value;

async fn admitted(world: &World) -> RunId {
    world.send(&[request("req-ceiling-01").to_string().into_bytes()]).await;
    match world.admit(1).await.remove(0) {
        Outcome::Admitted { run_id } => run_id,
        other => panic!("{other:?}"),
    }
}

async fn published(world: &World, run_id: &RunId) -> Value {
    let run = world.ledger.run(run_id).await.unwrap().unwrap();
    assert_eq!(run.state, State::PublishPending, "{:?}", run.reason_message);
    world.drain().await;
    serde_json::from_slice(&world.publications(1).await[0].value).unwrap()
}

fn document(world: &World, path: &str) -> Value {
    serde_json::from_slice(&std::fs::read(world.folder.path().join("evidence").join(path)).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_ceiling_at_the_next_attempt_and_other_threads_give_the_same_plan_and_bundle() {
    let mut tight = World::new().await;
    let run_id = admitted(&tight).await;
    tight.config.trainer.max_wall_seconds = 0;
    tight.run_until_idle(1).await;
    let run = tight.ledger.run(&run_id).await.unwrap().unwrap();
    assert_eq!((run.state, run.reason_code.as_deref()), (State::Queued, Some("TRAINER_TIMEOUT")));
    let why = run.reason_message.unwrap();
    assert!(why.contains("this worker gives wall_seconds 0, the profile asks for 600"), "{why}");

    tight.config.trainer.max_wall_seconds = 300;
    tight.config.trainer.max_memory_mib = 2_000;
    end_backoff(&tight.config.ledger.url).await;
    tight.run_until_idle(1).await;
    let first = published(&tight, &run_id).await;

    let loose = World::new().await;
    assert_eq!(admitted(&loose).await, run_id);
    loose.run_until_idle(2).await;
    let second = published(&loose, &run_id).await;
    assert_eq!(first["bundle_id"], second["bundle_id"]);
    assert_eq!(first["provenance"]["run_config_digest"], second["provenance"]["run_config_digest"]);

    let folder = first["bundle_ref"].as_str().unwrap().trim_end_matches('/').trim_end_matches("bundle").to_owned();
    let plan = document(&tight, &format!("{folder}bundle/resolved_train_plan.json"));
    assert_eq!((&plan["limits"]["wall_seconds"], &plan["limits"]["memory_mib"]), (&600.into(), &4096.into()));
    // The record of each attempt has the limits that held for it.
    let had = |attempt: u32| document(&tight, &format!("{folder}attempts/{attempt}.json"))["trainer"].clone();
    assert_eq!((&had(1)["limits"]["wall_seconds"], &had(1)["threads"]), (&0.into(), &1.into()));
    assert_eq!((&had(2)["limits"]["wall_seconds"], &had(2)["limits"]["memory_mib"]), (&300.into(), &2_000.into()));
}
