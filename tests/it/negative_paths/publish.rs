//! Bundles that may not, or cannot, be announced.

use super::evidence::announced_later;
use super::row::{Bring, Leaves, Row};
use super::stage::{Brought, Stage, ask, ask_with, bytes};
use crate::support::{data, registry_event};
use futures::FutureExt as _;
use model_factory::domain::contract::EventType as E;
use model_factory::domain::run::{FailureCode as C, RegistryReply, State};
use model_factory::worker::runner::RunnerOutcome;
use serde_json::json;

const FORCED: &str = "nothing: the bundle may not be announced; the operator looks for who changed the ledger";

pub fn rows() -> Vec<Row> {
    let mut rows = ineligible();
    rows.push(unavailable());
    rows.push(unanswered());
    rows.push(rejected());
    rows.push(exhausted());
    rows.push(invalid());
    rows.push(conflicting());
    rows
}

fn unavailable() -> Row {
    Row {
        code: C::PublishUnavailable,
        cause: "a broker that cannot be reached for longer than a publication may wait",
        brought: Bring::Scenario(|stage| unreachable_broker(stage).boxed_local()),
        leaves: Leaves::Run {
            state: State::PublishPending,
            says: "the broker did not acknowledge the publication within 120 seconds",
            events: vec![
                (E::RequestAdmitted, None),
                (E::RunStarted, None),
                (E::RunEvalReady, None),
                (E::RunGatePassed, None),
                (E::PublishPending, None),
                (E::PublishPending, Some(C::PublishUnavailable)),
            ],
        },
        next: "nothing: it is announced again, without training, within the bound",
    }
}

/// The events of a run whose publication the broker acknowledged and the registry did not confirm.
fn unconfirmed(last: (E, Option<C>)) -> Vec<(E, Option<C>)> {
    vec![
        (E::RequestAdmitted, None),
        (E::RunStarted, None),
        (E::RunEvalReady, None),
        (E::RunGatePassed, None),
        (E::PublishPending, None),
        last,
    ]
}

fn unanswered() -> Row {
    Row {
        code: C::PublishUnavailable,
        cause: "a registry, where its word is asked for, that does not answer in time",
        brought: Bring::Scenario(|stage| silent_registry(stage).boxed_local()),
        leaves: Leaves::Run {
            state: State::PublishPending,
            says: "the registry did not answer the publication within",
            events: unconfirmed((E::PublishPending, Some(C::PublishUnavailable))),
        },
        next: "nothing: it is announced again, without training, within the bound; a later answer counts",
    }
}

fn rejected() -> Row {
    Row {
        code: C::PublishRejected,
        cause: "a registry, where its word is asked for, that does not take the bundle",
        brought: Bring::Scenario(|stage| rejecting_registry(stage).boxed_local()),
        leaves: Leaves::Run {
            state: State::PublishPending,
            says: "tests says BUNDLE_REJECTED in event reg-rejected: not here",
            events: unconfirmed((E::PublishExhausted, Some(C::PublishRejected))),
        },
        next: "after the registry's reason is mended, send a publish retry",
    }
}

fn ineligible() -> Vec<Row> {
    let events = |verdict, code| {
        let started = [(E::RequestAdmitted, None), (E::RunStarted, None), (E::RunEvalReady, None)];
        let tried = [(E::PublishRetryStarted, None), (E::PublishExhausted, Some(code))];
        [&started[..], &[verdict], &tried].concat()
    };
    let row = |code, cause, says, scenario, verdict| Row {
        code,
        cause,
        brought: Bring::Scenario(scenario),
        leaves: Leaves::Run { state: State::PublishPending, says, events: events(verdict, code) },
        next: FORCED,
    };
    vec![
        row(
            C::PublishNotEligible,
            "a run that failed the gate, set to PUBLISH_PENDING in the database",
            "GATE_FAIL",
            |stage| forced_failure(stage).boxed_local(),
            (E::RunGateFailed, Some(C::GateFail)),
        ),
        row(
            C::PublishNotEligible,
            "a candidate evaluation, set to PUBLISH_PENDING in the database",
            "INTENT_NOT_PUBLISHABLE",
            |stage| forced_candidate(stage).boxed_local(),
            (E::RunGatePassed, None),
        ),
        row(
            C::GateDecisionMismatch,
            "a receipt that was turned from FAIL to PASS, with its digest and the state in the database",
            "the gate's receipt says Pass, the evaluation report says Fail",
            |stage| turned_receipt(stage).boxed_local(),
            (E::RunGateFailed, Some(C::GateFail)),
        ),
    ]
}

fn exhausted() -> Row {
    let mut events = announced_later(E::PublishPending, C::EvidenceUnresolved);
    events.extend([(E::PublishRetryStarted, None), (E::PublishPending, Some(C::EvidenceUnresolved))]);
    events.push((E::PublishRetryStarted, None));
    events.push((E::PublishExhausted, Some(C::PublishRetryExhausted)));
    Row {
        code: C::PublishRetryExhausted,
        cause: "a file of the bundle that stays away for three publish attempts, where three are allowed",
        brought: Bring::Scenario(|stage| away_three_times(stage).boxed_local()),
        leaves: Leaves::Run {
            state: State::PublishPending,
            says: "3 attempts were made; the last one ended with EVIDENCE_UNRESOLVED",
            events,
        },
        next: "after the cause is mended, send a publish retry",
    }
}

const FORCE: &str = "state = 'PUBLISH_PENDING', reason_code = NULL, reason_message = NULL, publish_allowed = true";

async fn failed_gate(stage: &mut Stage, id: &str) -> Brought {
    let mut request = ask(id);
    request["governance_profile_ref"] = json!(data().inputs.strict_governance_profile);
    stage.bring_and_work(&bytes(&request)).await
}

async fn forced_failure(stage: &mut Stage) -> Brought {
    let failed = failed_gate(stage, "req-forced-01").await;
    stage.set(&failed.run_id(), FORCE).await;
    stage.work().await;
    failed
}

async fn forced_candidate(stage: &mut Stage) -> Brought {
    let passed = stage.bring_and_work(&ask_with("req-forced-02", "intent_kind", json!("candidate_eval"))).await;
    stage.set(&passed.run_id(), FORCE).await;
    stage.work().await;
    passed
}

async fn turned_receipt(stage: &mut Stage) -> Brought {
    let failed = failed_gate(stage, "req-forced-03").await;
    let turn = |receipt: &mut serde_json::Value| receipt["decision"] = json!("PASS");
    stage.forge(&failed.run_id(), "gate_receipt", "gate/gate_receipt.json", turn).await;
    stage.set(&failed.run_id(), FORCE).await;
    stage.work().await;
    failed
}

async fn unreachable_broker(stage: &mut Stage) -> Brought {
    let brought = stage.bring_and_work(&ask_with("req-nobroker1", "publish_allowed", json!(true))).await;
    stage.relay_cut_off().await;
    let run_id = brought.run_id();
    let later = format!(
        "UPDATE outbox SET handed_at = handed_at - interval '1 hour' WHERE stream = '{run_id}' AND kind = 'PUBLICATION'"
    );
    assert_eq!(stage.sql(&later).await, 1);
    assert_eq!(stage.work().await, RunnerOutcome::Idle, "the publication is withdrawn, and waits");
    brought
}

fn invalid() -> Row {
    Row {
        code: C::BundlePublicationInvalid,
        cause: "a plan without a feature set, with report, receipt and all digests changed to fit",
        brought: Bring::Scenario(|stage| forged_plan(stage).boxed_local()),
        leaves: Leaves::Run {
            state: State::PublishPending,
            says: "/compatibility/feature_set_id",
            events: announced_later(E::PublishExhausted, C::BundlePublicationInvalid),
        },
        next: FORCED,
    }
}

fn conflicting() -> Row {
    let mut events = unconfirmed((E::PublishPending, Some(C::PublishUnavailable)));
    events.extend([(E::PublishRetryStarted, None), (E::PublishExhausted, Some(C::PublishConflict))]);
    Row {
        code: C::PublishConflict,
        cause: "an announcement that was withdrawn, and would now be made with other content",
        brought: Bring::Scenario(|stage| changed_announcement(stage).boxed_local()),
        leaves: Leaves::Run { state: State::PublishPending, says: "was announced before with other content", events },
        next: "tell the operator: the registry may hold what was announced first; send a request of another meaning",
    }
}

/// All documents agree, and only the schema of the publication refuses it.
async fn forged_plan(stage: &mut Stage) -> Brought {
    let passed = stage.passed("req-forged-04").await;
    let run_id = passed.run_id();
    let run = stage.world.ledger.run(&run_id).await.unwrap().unwrap();
    let name = run.refs["resolved_train_plan"].reference.rsplit_once('/').unwrap().1.to_owned();
    let path = format!("../../resolved_train_plan/{name}");
    let plan = stage.forge(&run_id, "resolved_train_plan", &path, |plan| {
        plan["feature_definition_set"]["feature_set_id"] = json!("");
    });
    let plan = plan.await;
    let report = stage.forge(&run_id, "eval_report", "eval/eval_report.json", |report| {
        report["provenance"]["resolved_train_plan"]["sha256"] = json!(plan);
    });
    let report = report.await;
    stage
        .forge(&run_id, "gate_receipt", "gate/gate_receipt.json", |receipt| {
            receipt["looked_at"]["eval_report"]["sha256"] = json!(report);
            receipt["looked_at"]["resolved_train_plan"]["sha256"] = json!(plan);
        })
        .await;
    stage.permit_and_work("req-forged-04").await;
    passed
}

async fn changed_announcement(stage: &mut Stage) -> Brought {
    let brought = stage.bring_and_work(&ask_with("req-conflict2", "publish_allowed", json!(true))).await;
    stage.relay_cut_off().await;
    let run_id = brought.run_id();
    let announcement = format!("WHERE stream = '{run_id}' AND kind = 'PUBLICATION'");
    let later = "handed_at = handed_at - interval '1 hour'";
    let other = "value = convert_to(replace(convert_from(value, 'UTF8'), 'application/json', 'text/json'), 'UTF8')";
    assert_eq!(stage.sql(&format!("UPDATE outbox SET {later}, {other} {announcement}")).await, 1);
    assert_eq!(stage.work().await, RunnerOutcome::Idle, "the publication is withdrawn, and waits");
    stage.due(&run_id).await;
    stage.work().await;
    brought
}

async fn silent_registry(stage: &mut Stage) -> Brought {
    let brought = stage.bring_and_work(&ask_with("req-silent-01", "publish_allowed", json!(true))).await;
    assert_eq!(stage.relay_to_registry(0).await.len(), 1);
    assert_eq!(
        stage.work().await,
        RunnerOutcome::Idle,
        "the wait for the reply ends, and the next attempt comes later"
    );
    stage.set(&brought.run_id(), "available_at = now() + interval '1 hour'").await;
    brought
}

async fn rejecting_registry(stage: &mut Stage) -> Brought {
    let brought = stage.bring_and_work(&ask_with("req-rejected1", "publish_allowed", json!(true))).await;
    let announced = stage.relay_to_registry(900).await;
    let mut event = registry_event(&announced[0].value, "BUNDLE_REJECTED", "reg-rejected");
    event["reason"] = json!("not here");
    stage.world.send_registry_events(&[bytes(&event)]).await;
    assert_eq!(stage.world.read_registry_events(1).await, [RegistryReply::Rejected]);
    brought
}

async fn away_three_times(stage: &mut Stage) -> Brought {
    let passed = stage.passed("req-exhaust-1").await;
    let run_id = passed.run_id();
    std::fs::remove_file(stage.evidence(&run_id, "bundle/bundle.json")).unwrap();
    stage.permit_and_work("req-exhaust-1").await;
    for _ in 1..3 {
        stage.due(&run_id).await;
        stage.work().await;
    }
    passed
}
