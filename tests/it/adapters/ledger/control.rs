//! Commands on runs, and the order in which runs are claimed.

use crate::support::{act, admit_one, bring, claim, fails, fresh_database, ledger_on, request, revision};
use model_factory::adapters::ledger::{Guarded, Ledger, PriorityRule, RunCommand, Step};
use model_factory::domain::identity::RunId;
use model_factory::domain::run::{ExecutionMode, FailureCode, Outcome, State, Transition};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const WHY: &str = "because";

/// A run at PASS whose only request does not allow publication.
async fn passed(ledger: &Ledger, config_revision: &str) -> (RunId, Value) {
    let mut value = revision(&format!("req-{config_revision}-0001"), config_revision);
    value["publish_allowed"] = json!(false);
    let Outcome::Admitted { run_id } = bring(ledger, &value).await else { panic!("not admitted") };
    let lease = claim(ledger).await;
    let steps = [Transition::FinishEvaluation, Transition::PassGate, Transition::RequestPublish]
        .map(|transition| Step::to(transition, BTreeMap::new()));
    assert_eq!(ledger.advance(&lease, &steps).await.unwrap(), Guarded::Won(State::Pass), "no publication is requested");
    (run_id, value)
}

#[tokio::test]
async fn a_parked_run_is_opened_again_by_an_operator_with_a_fresh_bound_and_a_reason() {
    let ledger = ledger_on(&fresh_database().await, |settings| settings.max_full_attempts = 1).await;
    let run_id = admit_one(&ledger, "a").await;
    let lease = claim(&ledger).await;
    let parked = ledger.advance(&lease, &[fails(FailureCode::TrainerTimeout)]).await.unwrap();
    assert_eq!(parked, Guarded::Won(State::Fail));
    assert_eq!(ledger.run(&run_id).await.unwrap().unwrap().reason_code.as_deref(), Some("ATTEMPTS_EXHAUSTED"));
    assert_eq!(act(&ledger, &run_id, RunCommand::Requeue).await, Ok(State::Queued));
    let lease = claim(&ledger).await;
    assert_eq!(lease.attempt, 2, "attempts are counted on");
    assert_eq!(
        ledger.advance(&lease, &[fails(FailureCode::TrainerTimeout)]).await.unwrap(),
        Guarded::Won(State::Fail),
        "one more was allowed, not two"
    );
    let acts = ledger.acts_of(&run_id).await.unwrap();
    assert_eq!((acts.len(), acts[0].actor.as_str(), acts[0].reason.as_str()), (1, "ann", WHY));
    let steps = ledger.transitions(&run_id).await.unwrap();
    let reopened = steps.iter().find(|step| step.transition == "REOPEN").unwrap();
    assert_eq!(reopened.worker, "operator:ann");
    assert!(reopened.reason_message.as_ref().unwrap().contains(WHY));
}

#[tokio::test]
async fn what_follows_from_a_runs_inputs_is_not_opened_again() {
    let ledger = ledger_on(&fresh_database().await, |_| {}).await;
    let run_id = admit_one(&ledger, "a").await;
    let lease = claim(&ledger).await;
    let failed = ledger.advance(&lease, &[fails(FailureCode::LeakageGuardViolation)]).await.unwrap();
    assert_eq!(failed, Guarded::Won(State::Fail));
    assert_eq!(act(&ledger, &run_id, RunCommand::Requeue).await, Err(FailureCode::LeakageGuardViolation));
    assert_eq!(ledger.run(&run_id).await.unwrap().unwrap().state, State::Fail);
    assert_eq!(ledger.acts_of(&run_id).await.unwrap()[0].refused_code.as_deref(), Some("LEAKAGE_GUARD_VIOLATION"));
}

#[tokio::test]
async fn a_run_that_is_taken_from_its_worker_cannot_be_written_by_it() {
    let ledger = ledger_on(&fresh_database().await, |_| {}).await;
    let run_id = admit_one(&ledger, "a").await;
    let old = claim(&ledger).await;
    assert_eq!(act(&ledger, &run_id, RunCommand::Requeue).await, Ok(State::Queued));
    assert_eq!(ledger.advance(&old, &[fails(FailureCode::TrainerFailed)]).await.unwrap(), Guarded::Lost);
    let new = claim(&ledger).await;
    assert_eq!(new.fence, old.fence + 1);
}

#[tokio::test]
async fn a_later_permission_publishes_a_passed_run_without_training() {
    let ledger = ledger_on(&fresh_database().await, |_| {}).await;
    let (run_id, mut value) = passed(&ledger, "a").await;
    assert_eq!(act(&ledger, &run_id, RunCommand::RetryPublish).await, Err(FailureCode::PublishNotPending));
    value["request_id"] = json!("req-a-0002");
    value["publish_allowed"] = json!(true);
    assert_eq!(bring(&ledger, &value).await, Outcome::DuplicateRun { run_id: run_id.clone() });
    let lease = claim(&ledger).await;
    assert_eq!((lease.run_id, lease.mode, lease.attempt), (run_id, ExecutionMode::PublishOnly, 1));
}

#[tokio::test]
async fn publish_attempts_are_bounded_reported_and_retried_by_command() {
    let ledger = ledger_on(&fresh_database().await, |settings| settings.max_publish_attempts = 1).await;
    let (run_id, mut value) = passed(&ledger, "a").await;
    value["request_id"] = json!("req-a-0002");
    value["publish_allowed"] = json!(true);
    bring(&ledger, &value).await;
    for attempt in 1..=2 {
        let lease = claim(&ledger).await;
        assert_eq!(lease.mode, ExecutionMode::PublishOnly);
        let step = Step::with_reason(Transition::DeferPublish, FailureCode::EvidenceUnresolved, "the store is away");
        assert_eq!(ledger.advance(&lease, &[step]).await.unwrap(), Guarded::Won(State::PublishPending));
        let run = ledger.run(&run_id).await.unwrap().unwrap();
        assert_eq!(run.reason_code.as_deref(), Some("PUBLISH_RETRY_EXHAUSTED"));
        assert_eq!((run.publish_retry_attempts, run.full_run_attempts), (attempt, 1));
        assert!(ledger.claim("w").await.unwrap().is_none(), "nobody tries again without a command");
        let retry = json!({"schema_version": "learning.mf_publish_retry.v0", "request_id": format!("cmd-{attempt:04}"),
                           "run_id": run_id, "requester_principal": "ann", "reason": WHY});
        assert_eq!(bring(&ledger, &retry).await, Outcome::CommandApplied { run_id: run_id.clone() });
    }
    // A cause that no further attempt can mend is not tried again.
    let lease = claim(&ledger).await;
    let step = Step::with_reason(Transition::DeferPublish, FailureCode::PublishNotEligible, "no receipt");
    assert_eq!(ledger.advance(&lease, &[step]).await.unwrap(), Guarded::Won(State::PublishPending));
    let run = ledger.run(&run_id).await.unwrap().unwrap();
    assert_eq!(run.reason_code.as_deref(), Some("PUBLISH_NOT_ELIGIBLE"), "the row names the cause itself");
    assert!(ledger.claim("w").await.unwrap().is_none());
}

fn of_tenant(id: &str, tenant: &str) -> Value {
    let mut value = request(id);
    value["target_scope"]["tenant_id"] = json!(tenant);
    value["config_revision"] = json!(id);
    value
}

async fn claimed(ledger: &Ledger) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(lease) = ledger.claim("w").await.unwrap() {
        found.push(lease.request.request_id.clone());
    }
    found
}

#[tokio::test]
async fn tenants_take_turns_and_within_one_the_oldest_goes_first() {
    let ledger = ledger_on(&fresh_database().await, |_| {}).await;
    for id in ["req-big-0001", "req-big-0002", "req-big-0003"] {
        bring(&ledger, &of_tenant(id, "big")).await;
    }
    bring(&ledger, &of_tenant("req-small-1", "small")).await;
    bring(&ledger, &of_tenant("req-tiny-01", "tiny")).await;
    assert_eq!(claimed(&ledger).await, ["req-big-0001", "req-small-1", "req-tiny-01", "req-big-0002", "req-big-0003"]);
}

#[tokio::test]
async fn a_higher_priority_goes_first_whoevers_turn_it_is() {
    let rule = |principal: Option<&str>, scope: Option<&str>, priority| PriorityRule {
        principal: principal.map(str::to_owned),
        scope: scope.map(str::to_owned),
        priority,
    };
    let rules = vec![rule(Some("on-call"), None, 9), rule(None, Some("test/fraud/primary/gold"), 5)];
    let ledger = ledger_on(&fresh_database().await, |settings| settings.priorities = rules).await;
    bring(&ledger, &of_tenant("req-plain-1", "plain")).await;
    bring(&ledger, &of_tenant("req-plain-2", "plain")).await;
    bring(&ledger, &of_tenant("req-gold-01", "gold")).await;
    let mut urgent = of_tenant("req-urgent-", "plain");
    urgent["requester_principal"] = json!("on-call");
    bring(&ledger, &urgent).await;
    // The second request for a run raises the priority of the run.
    let mut joined = of_tenant("req-plain-2", "plain");
    joined["request_id"] = json!("req-joined-");
    joined["requester_principal"] = json!("on-call");
    bring(&ledger, &joined).await;
    assert_eq!(claimed(&ledger).await, ["req-plain-2", "req-urgent-", "req-gold-01", "req-plain-1"]);
}

#[tokio::test]
async fn limits_hold_per_tenant_and_in_total() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |settings| settings.max_running_per_tenant = 1).await;
    for id in ["req-big-0001", "req-big-0002"] {
        bring(&ledger, &of_tenant(id, "big")).await;
    }
    bring(&ledger, &of_tenant("req-small-1", "small")).await;
    assert_eq!(claimed(&ledger).await, ["req-big-0001", "req-small-1"]);
    let total = ledger_on(&url, |settings| settings.max_running = 2).await;
    assert!(total.claim("w").await.unwrap().is_none(), "two run already");
    let unlimited = ledger_on(&url, |_| {}).await;
    assert_eq!(claimed(&unlimited).await, ["req-big-0002"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_hold_when_many_workers_claim_at_once() {
    let ledger = ledger_on(&fresh_database().await, |settings| {
        settings.max_running_per_tenant = 3;
        settings.max_connections = 8;
    })
    .await;
    for n in 0..20 {
        bring(&ledger, &of_tenant(&format!("req-many-{n:02}"), "many")).await;
    }
    let claims = futures::future::join_all((0..16).map(|_| ledger.claim("w"))).await;
    assert_eq!(claims.into_iter().filter(|claim| claim.as_ref().unwrap().is_some()).count(), 3);
}

#[tokio::test]
async fn runs_that_only_look_the_same_are_pointed_out() {
    let ledger = ledger_on(&fresh_database().await, |_| {}).await;
    let Outcome::Admitted { run_id: first } = bring(&ledger, &revision("req-near-0001", "Caf\u{e9}-1")).await else {
        panic!("a new meaning is a new run")
    };
    let Outcome::Admitted { run_id: second } = bring(&ledger, &revision("req-near-0002", "cafe\u{301}-1")).await else {
        panic!("another spelling is another run")
    };
    bring(&ledger, &revision("req-other-001", "tea-1")).await;
    let near = ledger.near_misses(&first).await.unwrap();
    assert_eq!(near.iter().map(|run| run.run_id.clone()).collect::<Vec<_>>(), [second]);
}
