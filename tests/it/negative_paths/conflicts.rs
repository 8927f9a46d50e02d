//! Messages that contradict an earlier one, and commands that cannot be carried out.

use super::row::{Bring, Leaves, Row};
use super::stage::{Brought, Stage, ask, ask_with, bytes, command};
use crate::support::event;
use futures::FutureExt as _;
use model_factory::domain::run::{FailureCode as C, Outcome};
use serde_json::json;

const UNKNOWN: &str = "tr_00000000000000000000000000000001";

pub fn rows() -> Vec<Row> {
    let of_command = |says| Leaves::Refusal { outcome: "COMMAND_REJECTED", pointer: "/run_id", says, emits: true };
    let in_event = Row {
        code: C::RunUnknown,
        cause: "a cancel command in a CloudEvent for a run that the ledger does not hold",
        brought: Bring::Record(|| {
            let order = serde_json::from_slice(&command("cancel", "cmd-unknown3", UNKNOWN)).unwrap();
            bytes(&event("cancel", &order))
        }),
        leaves: Leaves::Refusal { outcome: "COMMAND_REJECTED", pointer: "/data/run_id", says: UNKNOWN, emits: true },
        next: "look the run id up in the lifecycle events",
    };
    let unknown = |cause, record| Row {
        code: C::RunUnknown,
        cause,
        brought: Bring::Record(record),
        leaves: of_command(UNKNOWN),
        next: "look the run id up in the lifecycle events",
    };
    vec![
        Row {
            code: C::RequestIdPayloadMismatch,
            cause: "a request id that was used before, with other content",
            brought: Bring::Scenario(|stage| mismatch(stage).boxed_local()),
            leaves: Leaves::Refusal {
                outcome: "CONFLICT",
                pointer: "/request_id",
                says: "differs at /policy_revision",
                emits: true,
            },
            next: "send the other content under an id of its own",
        },
        unknown("a cancel command for a run that the ledger does not hold", || {
            command("cancel", "cmd-unknown1", UNKNOWN)
        }),
        unknown("a publish retry for a run that the ledger does not hold", || {
            command("publish_retry", "cmd-unknown2", UNKNOWN)
        }),
        in_event,
        Row {
            code: C::CommandNotApplicable,
            cause: "a cancel command for a run that has ended",
            brought: Bring::Scenario(|stage| to_ended(stage, "cancel").boxed_local()),
            leaves: of_command("it is FAIL"),
            next: "nothing: the run has ended",
        },
        Row {
            code: C::PublishNotPending,
            cause: "a publish retry for a run that failed",
            brought: Bring::Scenario(|stage| to_ended(stage, "publish_retry").boxed_local()),
            leaves: of_command("it is FAIL"),
            next: "nothing: there is no bundle to announce",
        },
        Row {
            code: C::PublishNotPending,
            cause: "a publish retry for a run that has not been worked on",
            brought: Bring::Scenario(|stage| to_queued(stage).boxed_local()),
            leaves: of_command("it is QUEUED"),
            next: "wait for the verdict",
        },
    ]
}

async fn mismatch(stage: &mut Stage) -> Brought {
    let first = stage.bring(&bytes(&ask("req-same-id-1"))).await;
    let other = stage.bring(&ask_with("req-same-id-1", "policy_revision", json!("p2"))).await;
    let differs = vec!["/policy_revision".to_owned()];
    assert_eq!(other.outcome, Outcome::Conflict { run_id: first.run_id(), differs });
    let stands = stage.world.ledger.run(&first.run_id()).await.unwrap().unwrap();
    assert_eq!(stands.request.policy_revision, "p1", "the first one stands");
    other
}

/// A command for a run that failed at once; the run stays as it is.
async fn to_ended(stage: &mut Stage, kind: &str) -> Brought {
    let id = format!("req-ended-{kind}");
    let ended = stage.bring(&ask_with(&id, "intent_kind", json!("regression_check"))).await;
    stage.set(&ended.run_id(), "priority = 9").await;
    stage.work().await;
    let before = stage.world.ledger.run(&ended.run_id()).await.unwrap().unwrap();
    let refused = stage.bring(&command(kind, &format!("cmd-{kind}-ended"), ended.run_id().as_str())).await;
    let after = stage.world.ledger.run(&ended.run_id()).await.unwrap().unwrap();
    assert_eq!((before.state, &before.reason_code), (after.state, &after.reason_code));
    refused
}

async fn to_queued(stage: &mut Stage) -> Brought {
    let queued = stage.bring(&bytes(&ask("req-queued-01"))).await;
    stage.bring(&command("publish_retry", "cmd-too-early", queued.run_id().as_str())).await
}
