//! Publications that cannot leave: tried again without training, bounded, then an operator decides.

use crate::checker::{check, collect};
use crate::support::{World, ledger_on, request};
use model_factory::ledger::{Act, Order};
use model_factory::run::State;
use model_factory::runner::{Runner, RunnerOutcome};
use sqlx::{Connection as _, PgConnection};
use tokio::sync::watch;

/// One turn of the loop, and where the run stands after it with its reason.
async fn turn(world: &World, runner: &Runner) -> (RunnerOutcome, State, Option<String>) {
    let (_stop, shutdown) = watch::channel(false);
    let outcome = runner.run_once(&shutdown).await.unwrap();
    let run = world.ledger.run_of_request("req-publish-0001").await.unwrap().unwrap();
    (outcome, run.state, run.reason_code)
}

/// Backoff is over.
async fn time_passes(world: &World) {
    let mut connection = PgConnection::connect(&world.config.ledger.url).await.unwrap();
    sqlx::query("UPDATE runs SET available_at = now()").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publication_that_is_not_acknowledged_is_tried_again_bounded_and_never_trains() {
    let world = World::new().await;
    let mut runner = world.runner("runner-1", 1).await;
    runner.ledger = ledger_on(&world.config.ledger.url, |settings| {
        settings.publish_patience_seconds = 0;
        settings.max_publish_attempts = 1;
    })
    .await;
    world.send(&[request("req-publish-0001").to_string().into_bytes()]).await;
    world.admit(1).await;
    let pending = State::PublishPending;
    let because = |code: &str| Some(code.to_owned());
    let (outcome, state, reason) = turn(&world, &runner).await;
    assert!(matches!(outcome, RunnerOutcome::Settled { .. }));
    assert_eq!((state, reason), (pending, None), "trained, passed, and in the outbox");

    let waits = (RunnerOutcome::Idle, pending, because("PUBLISH_UNAVAILABLE"));
    assert_eq!(turn(&world, &runner).await, waits, "withdrawn; the next attempt waits");
    time_passes(&world).await;
    let (_, state, reason) = turn(&world, &runner).await;
    assert_eq!((state, reason), (pending, None), "verified and in the outbox again");
    let exhausted = (RunnerOutcome::Idle, pending, because("PUBLISH_RETRY_EXHAUSTED"));
    assert_eq!(turn(&world, &runner).await, exhausted);
    time_passes(&world).await;
    assert_eq!(turn(&world, &runner).await, exhausted, "nobody tries again by himself");

    let run = world.ledger.run_of_request("req-publish-0001").await.unwrap().unwrap();
    let order = Order { act: Act::RetryPublish, actor: "ann", why: "the broker is back" };
    world.ledger.act(&run.run_id, order).await.unwrap().unwrap().unwrap();
    turn(&world, &runner).await;
    world.drain().await;
    let run = world.ledger.run_of_request("req-publish-0001").await.unwrap().unwrap();
    assert_eq!((run.state, run.full_run_attempts, run.publish_retry_attempts), (State::Published, 1, 2));
    let history = collect(&world).await;
    assert_eq!(history.publications.len(), 1);
    assert_eq!(check(&history), []);
    let told: Vec<String> =
        history.lifecycle.iter().map(|event| event.json()["event_type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(
        told[4..],
        [
            "publish.pending",
            "publish.pending",
            "publish.retry_started",
            "publish.pending",
            "publish.exhausted",
            "publish.retry_started",
            "publish.pending",
            "publish.published"
        ]
    );
}
