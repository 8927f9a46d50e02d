//! The trainer and its worker: limits, deaths, cancels, bounds.

use super::inputs;
use super::row::{Bring, Emitted, Leaves, Row, brings_down, ends};
use super::stage::{Brought, Stage, ask, ask_with, bytes, command, work};
use crate::support::{children_in, eventually};
use futures::FutureExt as _;
use model_factory::domain::contract::EventType as E;
use model_factory::domain::identity::RunId;
use model_factory::domain::run::{FailureCode as C, State};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const AGAIN: &str = "nothing: it is tried again, within the bound";
const WAITS: &str = "nothing: the attempt does not count, and the run is tried again";
const OPERATOR: &str = "tell the operator, who may open the run again";
const LIMITS: &str = "limits: {wall_seconds: 600, memory_mib: 4096, max_rows: 1000000}";

pub fn rows() -> Vec<Row> {
    let mut rows = trainers();
    rows.extend(cancels());
    rows.extend(bounds());
    rows
}

fn trainers() -> Vec<Row> {
    vec![
        ends(C::TrainerTimeout, "a fit that takes longer than its wall time", "within 1 seconds", AGAIN, || {
            let profile = inputs::endless("timeout", "limits: {wall_seconds: 1, memory_mib: 4096, max_rows: 1000000}");
            ask_with("req-timeout-1", "training_config_ref", json!(profile))
        }),
        ends(
            C::TrainerOutOfMemory,
            "a fit that needs more memory than its limit",
            "out of memory",
            "nothing: it is tried again; if it stays so, ask with a higher limit",
            || {
                let to = "limits: {wall_seconds: 600, memory_mib: 64, max_rows: 1000000}";
                ask_with("req-memory-01", "training_config_ref", json!(inputs::training("memory", LIMITS, to)))
            },
        ),
        brings_down(
            C::TrainerOutOfMemory,
            "a trainer that is killed from outside, as the kernel does",
            "killed from outside",
            AGAIN,
            |stage| killed(stage, "req-killed-01", Signal::SIGKILL).boxed_local(),
        ),
        brings_down(C::TrainerFailed, "a trainer that dies of a signal", "died of signal 6", OPERATOR, |stage| {
            killed(stage, "req-crashed-1", Signal::SIGABRT).boxed_local()
        }),
        brings_down(C::WorkerUnable, "a worker whose scratch folder is gone", "no job directory", WAITS, |stage| {
            without_scratch(stage).boxed_local()
        }),
        brings_down(
            C::NondeterminismDetected,
            "other bytes where the model belongs, left by an attempt that died before its training record",
            "model.json exists with digest",
            "tell the operator: the same plan must give the same bytes",
            |stage| planted(stage, "req-nondet-01", "model/model.json").boxed_local(),
        ),
        brings_down(
            C::NondeterminismDetected,
            "other scores, left by an attempt that died before its training record",
            "scores.parquet exists with digest",
            "tell the operator: the same plan must give the same bytes",
            |stage| planted(stage, "req-nondet-02", "model/scores.parquet").boxed_local(),
        ),
    ]
}

fn cancels() -> Vec<Row> {
    let row = |cause, says, brought, events: &[Emitted]| Row {
        code: C::Cancelled,
        cause,
        brought,
        leaves: Leaves::Run { state: State::Fail, says, events: events.to_vec() },
        next: "nothing; an operator may open the run again",
    };
    let cancelled = (E::RunCancelled, Some(C::Cancelled));
    vec![
        row(
            "a cancel command for a run that is queued",
            "tests cancelled it: a test",
            Bring::Scenario(|stage| cancel_queued(stage).boxed_local()),
            &[(E::RequestAdmitted, None), cancelled],
        ),
        row(
            "a cancel command for a run that trains",
            "cancelled",
            Bring::Scenario(|stage| cancel_running(stage).boxed_local()),
            &[(E::RequestAdmitted, None), (E::RunStarted, None), cancelled],
        ),
    ]
}

fn bounds() -> Vec<Row> {
    let attempts = |again: C| -> Vec<Emitted> {
        let (started, requeued) = ((E::RunStarted, None), (E::RunRequeued, Some(again)));
        let exhausted = (E::RunFailed, Some(C::AttemptsExhausted));
        let mut events = vec![(E::RequestAdmitted, None)];
        if again == C::MaterializationUnresolved {
            // An attempt that does not count.
            events.extend([started, requeued]);
        }
        events.extend([started, requeued, started, requeued, started, exhausted]);
        events
    };
    vec![
        Row {
            code: C::LeaseExpired,
            cause: "a worker that is lost with its run; another one carries it to its verdict",
            brought: Bring::Scenario(|stage| lost_once(stage).boxed_local()),
            leaves: Leaves::Run {
                state: State::Pass,
                says: "worker lost was lost",
                events: vec![
                    (E::RequestAdmitted, None),
                    (E::RunStarted, None),
                    (E::RunRequeued, Some(C::LeaseExpired)),
                    (E::RunStarted, None),
                    (E::RunEvalReady, None),
                    (E::RunGatePassed, None),
                ],
            },
            next: "nothing",
        },
        Row {
            code: C::AttemptsExhausted,
            cause: "a run that takes three workers with it",
            brought: Bring::Scenario(|stage| lost_thrice(stage).boxed_local()),
            leaves: Leaves::Run {
                state: State::Fail,
                says: "3 attempts were made; the last one ended with LEASE_EXPIRED",
                events: attempts(C::LeaseExpired),
            },
            next: OPERATOR,
        },
        Row {
            code: C::AttemptsExhausted,
            cause: "a data file that stays away for longer than the run's patience and three attempts",
            brought: Bring::Scenario(|stage| missing_thrice(stage).boxed_local()),
            leaves: Leaves::Run {
                state: State::Fail,
                says: "3 attempts were made; the last one ended with MATERIALIZATION_UNRESOLVED",
                events: attempts(C::MaterializationUnresolved),
            },
            next: "provide it, then ask the operator to open the run again",
        },
    ]
}

fn endless(id: &str) -> Vec<u8> {
    ask_with(id, "training_config_ref", json!(inputs::endless("endless", LIMITS)))
}

/// The process of the trainer that runs.
async fn child(scratch: &Path) -> Pid {
    let running = || std::future::ready(children_in(scratch).first().copied());
    let id = eventually("the trainer's process", Duration::from_mins(1), running).await;
    Pid::from_raw(i32::try_from(id).unwrap())
}

async fn killed(stage: &mut Stage, id: &str, signal: Signal) -> Brought {
    let brought = stage.bring(&endless(id)).await;
    let scratch = stage.world.config.trainer.scratch.clone();
    let killing = async { kill(child(&scratch).await, signal).unwrap() };
    tokio::join!(stage.work(), killing);
    brought
}

async fn without_scratch(stage: &mut Stage) -> Brought {
    let scratch = stage.world.config.trainer.scratch.clone();
    std::fs::remove_dir_all(&scratch).unwrap();
    let brought = stage.bring_and_work(&bytes(&ask("req-scratch-1"))).await;
    std::fs::create_dir_all(&scratch).unwrap();
    brought
}

async fn planted(stage: &mut Stage, id: &str, document: &str) -> Brought {
    let brought = stage.bring(&bytes(&ask(id))).await;
    stage.plant(&brought.run_id(), document);
    stage.work().await;
    brought
}

async fn cancel_queued(stage: &mut Stage) -> Brought {
    let brought = stage.bring(&bytes(&ask("req-cancel-01"))).await;
    stage.bring(&command("cancel", "cmd-cancel-01", brought.run_id().as_str())).await;
    brought
}

async fn cancel_running(stage: &mut Stage) -> Brought {
    let brought = stage.bring(&endless("req-cancel-02")).await;
    let (runner, scratch) = (Arc::clone(&stage.runner), stage.world.config.trainer.scratch.clone());
    let cancelling = async {
        child(&scratch).await;
        stage.bring(&command("cancel", "cmd-cancel-02", brought.run_id().as_str())).await;
    };
    tokio::join!(work(&runner), cancelling);
    brought
}

async fn lost_once(stage: &mut Stage) -> Brought {
    let brought = stage.bring(&bytes(&ask("req-lost-0001"))).await;
    stage.claim_and_die().await;
    stage.work().await;
    brought
}

async fn lost_thrice(stage: &mut Stage) -> Brought {
    let brought = stage.bring(&bytes(&ask("req-lost-0003"))).await;
    for _ in 0..3 {
        stage.claim_and_die().await;
        let rescued = stage.world.ledger.requeue_expired("rescuer", 1).await.unwrap();
        assert_eq!(rescued.len(), 1);
    }
    brought
}

async fn missing_thrice(stage: &mut Stage) -> Brought {
    let gone = inputs::manifest("gone", |m| m["materializations"][0]["ref"] = json!("ofs/data/gone.parquet"));
    let brought = stage.bring_and_work(&ask_with("req-gone-0003", "dataset_manifest_refs", json!([gone]))).await;
    let run_id: RunId = brought.run_id();
    stage.set(&run_id, "outage_tries = 1000").await;
    for _ in 0..3 {
        stage.due(&run_id).await;
        stage.work().await;
    }
    brought
}
