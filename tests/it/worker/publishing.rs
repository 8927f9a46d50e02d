//! Publications that the broker does not acknowledge: tried again without training and within a bound, then by an
//! operator's command.

use crate::checker::{check, collect, drained};
use crate::support;
use crate::support::{
    Departure, OwnKafka, World, end_backoff, eventually, fresh_database, ledger_on, own_topics_on, request,
};
use model_factory::adapters::ledger::{CommandRequest, RunCommand};
use model_factory::domain::run::State;
use model_factory::training::TrainerCommand;
use model_factory::worker::liveness::Heartbeat;
use model_factory::worker::runner::{Runner, RunnerOutcome};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// One turn of the runner; its outcome, and the run's state and reason after it.
async fn turn(world: &World, runner: &Runner) -> (RunnerOutcome, State, Option<String>) {
    let (_stop, shutdown) = watch::channel(false);
    let outcome = support::turn(runner, &shutdown).await;
    let run = world.run("req-publish-0001").await;
    (outcome, run.state, run.reason_code)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publication_that_is_not_acknowledged_is_tried_again_bounded_and_never_trains() {
    let world = World::new().await;
    support::publications_count_as_handed_over(&world.config.ledger.url).await;
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
    end_backoff(&world.config.ledger.url).await;
    let (_, state, reason) = turn(&world, &runner).await;
    assert_eq!((state, reason), (pending, None), "verified and in the outbox again");
    let exhausted = (RunnerOutcome::Idle, pending, because("PUBLISH_RETRY_EXHAUSTED"));
    assert_eq!(turn(&world, &runner).await, exhausted);
    end_backoff(&world.config.ledger.url).await;
    assert_eq!(turn(&world, &runner).await, exhausted, "nobody tries again without a command");

    let run = world.run("req-publish-0001").await;
    let order = CommandRequest { command: RunCommand::RetryPublish, actor: "ann", why: "the broker is back" };
    world.ledger.command(&run.run_id, order).await.unwrap().unwrap().unwrap();
    turn(&world, &runner).await;
    world.drain().await;
    let run = world.run("req-publish-0001").await;
    assert_eq!((run.state, run.full_run_attempts, run.publish_retry_attempts), (State::Published, 1, 2));
    let history = collect(&world).await;
    assert_eq!(history.publications.len(), 1);
    assert_eq!(check(&history), []);
    let types: Vec<String> =
        history.lifecycle.iter().map(|event| event.json()["event_type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(
        types[4..],
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

/// A trainer command that appends each start of a child to a file; and that file.
fn counting_starts(world: &World) -> (TrainerCommand, PathBuf) {
    let (script, starts) = (world.folder.path().join("counted.sh"), world.folder.path().join("starts"));
    let binary = env!("CARGO_BIN_EXE_model-factory");
    let text = format!("#!/bin/sh\necho \"$1\" >> {}\nexec {binary} \"$@\"\n", starts.display());
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    (TrainerCommand::binary(script), starts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_away_beyond_the_budget_parks_the_run_and_an_operator_has_it_published_without_training() {
    const BOUND: Duration = Duration::from_mins(2);
    let Some(kafka) = OwnKafka::start().await else { return };
    let world = World::between(own_topics_on(kafka.brokers().to_owned(), 1).await, fresh_database().await).await;
    let mut runner = world.runner("runner-1", 2).await;
    let (trainer, starts) = counting_starts(&world);
    runner.trainer = trainer;
    runner.ledger = ledger_on(&world.config.ledger.url, |settings| {
        settings.publish_patience_seconds = 1;
        settings.max_publish_attempts = 2;
    })
    .await;
    world.send(&[request("req-publish-0001").to_string().into_bytes()]).await;
    world.admit(1).await;
    kafka.go_away(Departure::Killed).await;

    let (stop, stopped) = watch::channel(false);
    let mut running = JoinSet::new();
    running.spawn(world.relay("cut-off").run(stopped, Heartbeat::default()));
    let exhausted = Some("PUBLISH_RETRY_EXHAUSTED".to_owned());
    eventually("the end of all attempts", BOUND, || async {
        let (_, state, reason) = turn(&world, &runner).await;
        (state == State::PublishPending && reason == exhausted).then_some(())
    })
    .await;
    // The stopped relay has nothing in flight that could arrive once the broker is back: the operator decides.
    stop.send_replace(true);
    running.join_next().await.unwrap().unwrap().unwrap();
    kafka.come_back().await;
    end_backoff(&world.config.ledger.url).await;
    assert_eq!(turn(&world, &runner).await, (RunnerOutcome::Idle, State::PublishPending, exhausted));

    world.stdout(&["runs", "retry-publish", "req-publish-0001", "--reason", "the broker is back"]);
    turn(&world, &runner).await;
    world.drain().await;
    let run = world.run("req-publish-0001").await;
    assert_eq!((run.state, run.full_run_attempts, run.publish_retry_attempts), (State::Published, 1, 3));
    assert_eq!(std::fs::read_to_string(starts).unwrap(), "trainer-child\n", "one child was started in all");
    let history = collect(&world).await;
    assert_eq!(history.publications.len(), 1);
    assert!(drained(&history));
    assert_eq!(check(&history), []);
}
