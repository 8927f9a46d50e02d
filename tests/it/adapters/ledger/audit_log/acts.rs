//! The acts of requests, runs and publications: who, why, by which evidence.

use super::blocks::{acts, assert_holds, blocks, only};
use crate::support::{
    World, admit_one, arrival, bring, confirmed_by_registry, fresh_database, ledger_on, registry_event, request,
    revision,
};
use model_factory::adapters::ledger::{CommandRequest, Guarded, RunCommand as Command, Step};
use model_factory::domain::contract::{ActKind, Actor, ActorKind, AuditAct, EventProgress, EvidenceRef};
use model_factory::domain::identity::Digest;
use model_factory::domain::run::{FailureCode, Outcome, State, Transition};
use serde_json::json;
use std::collections::BTreeSet;

fn requester(name: &str) -> Actor {
    Actor::new(ActorKind::Requester, name)
}

fn code(act: &AuditAct) -> Option<FailureCode> {
    act.reason.as_ref()?.code
}

#[tokio::test]
async fn the_outcome_of_each_record_is_appended_with_its_requester_and_the_digest_of_its_bytes() {
    let ledger = ledger_on(&fresh_database().await, |_| {}).await;
    let first = revision("req-told-0001", "c1");
    let mut renamed = first.clone();
    renamed["request_id"] = json!("req-told-0002");
    renamed["requester_principal"] = json!("another team");
    let mut conflict = first.clone();
    conflict["config_revision"] = json!("other");
    let records = [first.clone(), renamed, conflict, json!({"request_id": "req-told-0003"}), json!(1), first.clone()];
    let arrivals: Vec<_> = records.iter().enumerate().map(|(at, value)| arrival(at as i64, value)).collect();
    let outcomes = ledger.admit(&arrivals, "intake-1").await.unwrap();
    let Outcome::Admitted { run_id } = &outcomes[0] else { panic!("{outcomes:?}") };

    let blocks = blocks(&ledger).await;
    assert_eq!(blocks.len(), 2, "the migration, and one block for the whole batch");
    let body = &blocks[1].1;
    assert_eq!(body.by, "intake-1");
    for (act, (offset, outcome)) in body.acts.iter().zip(outcomes.iter().enumerate()) {
        assert_eq!(act.outcome.as_deref(), Some(outcome.kind().as_str()));
        assert_eq!(act.subject.record, Some(format!("requests/0/{offset}")));
        let sha256 = Digest::of(records[offset].to_string().as_bytes());
        assert_eq!(act.evidence["request"], EvidenceRef { reference: format!("ledger:requests/0/{offset}"), sha256 });
    }
    let [admitted, joined, conflict, invalid, unreadable, again] = body.acts.as_slice() else { panic!("{body:?}") };
    assert_eq!((admitted.act, &admitted.actor), (ActKind::RequestAdmitted, &requester("tests")));
    assert_eq!(admitted.subject.run_id.as_ref(), Some(run_id));
    assert_eq!((joined.act, &joined.actor), (ActKind::RequestDeduplicated, &requester("another team")));
    assert_eq!(joined.subject.request_id.as_deref(), Some("req-told-0002"));
    assert_eq!((conflict.act, code(conflict)), (ActKind::RequestRejected, Some(FailureCode::RequestIdPayloadMismatch)));
    assert_eq!(conflict.actor, requester("tests"));
    assert_eq!(invalid.actor, Actor::new(ActorKind::Worker, "intake-1"), "nobody can be named");
    assert_eq!(invalid.subject.request_id.as_deref(), Some("req-told-0003"));
    assert_eq!(code(unreadable), Some(FailureCode::MessageNotJson));
    assert_eq!((again.act, again.outcome.as_deref()), (ActKind::RequestDeduplicated, Some("DUPLICATE_REQUEST")));

    // The same records again, and one under another offset: their acts stand in the log already.
    ledger.admit(&arrivals, "intake-2").await.unwrap();
    assert_eq!(bring(&ledger, &first).await, Outcome::DuplicateRequest { run_id: run_id.clone() });
    assert_eq!(ledger.audit_head().await.unwrap().seq, 2);
    assert_holds(&ledger).await;
}

#[tokio::test]
async fn commands_are_appended_with_who_gave_them_and_why_also_those_that_are_refused() {
    let ledger = ledger_on(&fresh_database().await, |_| {}).await;
    let run_id = admit_one(&ledger, "a").await;
    let cancel = json!({"schema_version": "learning.mf_cancel.v0", "request_id": "req-cancel-01", "run_id": run_id,
                        "requester_principal": "ann", "reason": "wrong manifest"});
    let order = |act| CommandRequest { command: act, actor: "bob", why: "because" };
    ledger.command(&run_id, order(Command::RetryPublish)).await.unwrap().unwrap().unwrap_err();
    bring(&ledger, &cancel).await;
    ledger.command(&run_id, order(Command::Requeue)).await.unwrap().unwrap().unwrap();
    ledger.command(&run_id, order(Command::Cancel)).await.unwrap().unwrap().unwrap();
    let mut late = cancel.clone();
    late["request_id"] = json!("req-cancel-02");
    bring(&ledger, &late).await;
    let mut unknown = cancel;
    unknown["request_id"] = json!("req-cancel-03");
    unknown["run_id"] = json!("tr_00000000000000000000000000000000");
    bring(&ledger, &unknown).await;

    let (ann, bob) = (requester("ann"), Actor::new(ActorKind::Operator, "bob"));
    let commands: Vec<_> = acts(&ledger).await.into_iter().skip(2).collect();
    let seen: Vec<_> = commands.iter().map(|act| (act.act, &act.actor, act.refused, act.outcome.as_deref())).collect();
    let refused = Some(FailureCode::CommandNotApplicable);
    assert_eq!(
        seen,
        [
            (ActKind::PublishRetryRequested, &bob, Some(FailureCode::PublishNotPending), None),
            (ActKind::RunCancelled, &ann, None, None),
            (ActKind::CancelRequested, &ann, None, Some("COMMAND_APPLIED")),
            (ActKind::RunRequeued, &bob, None, None),
            (ActKind::RequeueRequested, &bob, None, None),
            (ActKind::RunCancelled, &bob, None, None),
            (ActKind::CancelRequested, &bob, None, None),
            (ActKind::CancelRequested, &ann, refused, None),
            (ActKind::RequestRejected, &ann, None, Some("COMMAND_REJECTED")),
            (ActKind::RequestRejected, &ann, None, Some("COMMAND_REJECTED")),
        ]
    );
    assert_eq!(commands[2].reason.as_ref().unwrap().message, "wrong manifest");
    assert_eq!(commands[2].subject.request_id.as_deref(), Some("req-cancel-01"));
    assert_holds(&ledger).await;
}

#[tokio::test]
async fn every_step_is_appended_with_its_states_fence_and_evidence_and_progress_is_not() {
    let ledger = ledger_on(&fresh_database().await, |settings| settings.max_full_attempts = 2).await;
    let run_id = admit_one(&ledger, "a").await;
    let lease = ledger.claim("w1").await.unwrap().unwrap();
    let progress = EventProgress { step: "fit".into(), percent: 5, message: "early".into() };
    assert!(ledger.report_progress(&lease, &progress, true).await.unwrap());
    let requeue = Step::with_reason(Transition::Requeue, FailureCode::TrainerTimeout, "too slow");
    assert_eq!(ledger.advance(&lease, &[requeue]).await.unwrap(), Guarded::Won(State::Queued));
    let all = acts(&ledger).await;
    let requeued = only(&all, ActKind::RunRequeued);
    let change = requeued.change.as_ref().unwrap();
    assert_eq!(
        (change.from, change.to, change.attempt, change.fence, change.seq),
        (State::Running, State::Queued, 1, 1, 4)
    );
    assert_eq!(code(requeued), Some(FailureCode::TrainerTimeout));
    assert_eq!(requeued.actor, Actor::new(ActorKind::Worker, "w1"));
    assert_eq!(all.len(), 4, "migrated, admitted, started, requeued: {all:?}");
    assert_eq!(requeued.subject.run_id, Some(run_id));

    assert_holds(&ledger).await;
}

/// The roles of an act's evidence.
fn evidence_roles(act: &AuditAct) -> BTreeSet<&str> {
    act.evidence.keys().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_from_request_to_the_registrys_reply_is_appended_whole_with_evidence_that_reads_back() {
    let mut world = World::new().await;
    world.ledger = world.ledger.clone().publishing(&confirmed_by_registry(900));
    let mut failing = request("req-whole-0002");
    failing["governance_profile_ref"] = json!("profiles/governance_strict.yaml");
    world.send(&[request("req-whole-0001"), failing].map(|value| value.to_string().into_bytes())).await;
    world.admit(2).await;
    world.run_until_idle(2).await;
    world.drain().await;
    let announced = world.publications(1).await.remove(0);
    world
        .send_registry_events(&[registry_event(&announced.value, "BUNDLE_PUBLISHED", "reg-1").to_string().into_bytes()])
        .await;
    world.read_registry_events(1).await;
    world.run_until_idle(2).await;

    let all = acts(&world.ledger).await;
    let passed = only(&all, ActKind::RunGatePassed);
    let run_id = passed.subject.run_id.clone();
    let of_run: Vec<&AuditAct> = all.iter().filter(|act| act.subject.run_id == run_id).collect();
    let kinds: Vec<&str> = of_run.iter().map(|act| act.act.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "request.admitted",
            "run.started",
            "run.eval_ready",
            "run.gate_passed",
            "publish.pending",
            "publish.published",
            "registry.answered",
            "publish.receipt_written"
        ]
    );
    assert!(
        evidence_roles(passed).is_superset(&BTreeSet::from(["eval_report", "gate_receipt", "bundle/bundle.json"])),
        "{passed:?}"
    );
    let failed = only(&all, ActKind::RunGateFailed);
    assert_eq!(code(failed), Some(FailureCode::GateFail));
    assert!(evidence_roles(failed).contains("gate_receipt"), "{failed:?}");
    let registry = Actor::new(ActorKind::Registry, "tests");
    let (published, replied) = (of_run[5], of_run[6]);
    assert_eq!((&published.actor, published.subject.registry_event_id.as_deref()), (&registry, Some("reg-1")));
    assert_eq!(replied.actor, registry);
    let stored = world.folder.path().join("evidence");
    let mut read = 0;
    for act in &all {
        for (role, at) in act.evidence.iter().filter(|(role, _)| *role != "request") {
            let path = stored.join(&at.reference);
            assert_eq!(Digest::of(&std::fs::read(&path).unwrap()), at.sha256, "{role}");
            read += 1;
        }
    }
    assert!(read > 20, "{read} pieces of evidence were read");
    assert_holds(&world.ledger).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_is_appended_with_its_coordinates_and_other_sent_records_are_not() {
    let world = World::new().await;
    world.send(&[request("req-sent-0001").to_string().into_bytes()]).await;
    world.admit(1).await;
    world.run_until_idle(2).await;
    let before = world.ledger.audit_head().await.unwrap().seq;
    assert!(world.drain().await > 5);
    let blocks = blocks(&world.ledger).await;
    assert_eq!(blocks.len() as i64, before + 1, "of all sent records only the publication decides something");
    let [published] = blocks.last().unwrap().1.acts.as_slice() else { panic!("{blocks:?}") };
    let announced = world.publications(1).await.remove(0);
    let topic = &world.config.kafka.topics.publications;
    let coordinates = format!("{topic}/{}/{}", announced.partition, announced.offset);
    assert_eq!(
        (published.act, published.subject.acknowledged_at.as_ref()),
        (ActKind::PublishPublished, Some(&coordinates))
    );
    assert_eq!(published.actor, Actor::new(ActorKind::Worker, "relay-1"));
    assert_holds(&world.ledger).await;
}
