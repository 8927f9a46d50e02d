//! Leases, attempts and steps of one run.

use super::rows::rows;
use crate::support::{admit_one, arrival, eventually, fresh_database, ledger_on, revision as request};
use model_factory::adapters::ledger::{Guarded, Renewal, Step};
use model_factory::domain::run::{FailureCode, Outcome, State, Transition};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn a_lost_lease_writes_nothing() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |settings| settings.lease_seconds = 1).await;
    let run_id = admit_one(&ledger, "a").await;
    let old = ledger.claim("w1").await.unwrap().unwrap();
    assert_eq!(ledger.renew("w1", &[(run_id.clone(), old.fence)]).await.unwrap(), [Renewal::Held]);
    assert!(ledger.claim("w2").await.unwrap().is_none(), "another worker holds the lease");
    let taken = eventually("expiry", Duration::from_secs(20), || async {
        let taken = ledger.requeue_expired("w2", 10).await.unwrap();
        (!taken.is_empty()).then_some(taken)
    })
    .await;
    assert_eq!(taken, [(run_id.clone(), State::Queued)]);
    let new = ledger.claim("w2").await.unwrap().unwrap();
    assert_eq!((new.fence, new.attempt), (old.fence + 1, 2));
    let before = rows(&url).await;
    let step = Step::with_reason(Transition::Fail, FailureCode::TrainerFailed, "a zombie");
    assert_eq!(ledger.advance(&old, std::slice::from_ref(&step)).await.unwrap(), Guarded::Lost);
    assert_eq!(ledger.release(&old).await.unwrap(), Guarded::Lost);
    assert_eq!(ledger.renew("w1", &[(run_id, old.fence)]).await.unwrap(), [Renewal::Lost]);
    assert_eq!(rows(&url).await, before);
    assert_eq!(ledger.advance(&new, &[step]).await.unwrap(), Guarded::Won(State::Fail));
}

#[tokio::test]
async fn a_lease_that_a_living_worker_could_not_renew_costs_no_attempt_and_that_of_another_does() {
    let ledger = ledger_on(&fresh_database().await, |settings| settings.lease_seconds = 0).await;
    let run_id = admit_one(&ledger, "a").await;
    let attempts = async || ledger.run(&run_id).await.unwrap().unwrap().full_run_attempts;
    let lease = ledger.claim("w1").await.unwrap().unwrap();
    assert_eq!(ledger.requeue_expired("w1", 10).await.unwrap(), [(run_id.clone(), State::Queued)]);
    assert_eq!(attempts().await, 0);
    assert_eq!(ledger.release_after_outage(&lease).await.unwrap(), Guarded::Lost, "it is given back already");
    let claimed = eventually("the pause", Duration::from_secs(20), async || ledger.claim("w1").await.unwrap()).await;
    assert_eq!((claimed.fence, claimed.attempt), (lease.fence + 1, 1));
    assert_eq!(ledger.release_after_outage(&lease).await.unwrap(), Guarded::Lost, "the fence has moved");
    assert_eq!(ledger.requeue_expired("w2", 10).await.unwrap(), [(run_id.clone(), State::Queued)]);
    assert_eq!(attempts().await, 1);
}

#[tokio::test]
async fn attempts_are_bounded_and_a_hand_back_costs_none() {
    let ledger = ledger_on(&fresh_database().await, |settings| settings.max_full_attempts = 1).await;
    let run_id = admit_one(&ledger, "a").await;
    let lease = ledger.claim("w").await.unwrap().unwrap();
    assert_eq!(ledger.release(&lease).await.unwrap(), Guarded::Won(State::Queued));
    let lease = ledger.claim("w").await.unwrap().unwrap();
    assert_eq!(lease.attempt, 1);
    let step = Step::with_reason(Transition::Requeue, FailureCode::TrainerTimeout, "too slow");
    assert_eq!(ledger.advance(&lease, &[step]).await.unwrap(), Guarded::Won(State::Fail));
    let run = ledger.run(&run_id).await.unwrap().unwrap();
    assert_eq!(run.reason_code.as_deref(), Some("ATTEMPTS_EXHAUSTED"));
    assert!(run.reason_message.unwrap().contains("TRAINER_TIMEOUT"));
}

#[tokio::test]
async fn an_illegal_step_changes_nothing_and_events_have_no_holes() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |_| {}).await;
    let run_id = admit_one(&ledger, "a").await;
    let lease = ledger.claim("w").await.unwrap().unwrap();
    let before = rows(&url).await;
    let legal = Step::to(Transition::FinishEvaluation, std::collections::BTreeMap::new());
    let illegal = Step::to(Transition::Publish, std::collections::BTreeMap::new());
    assert_eq!(ledger.advance(&lease, &[legal.clone(), illegal]).await.unwrap(), Guarded::Lost);
    assert_eq!(rows(&url).await, before);
    assert_eq!(ledger.advance(&lease, &[legal]).await.unwrap(), Guarded::Won(State::EvalReady));
    let steps = ledger.transitions(&run_id).await.unwrap();
    assert_eq!(steps.iter().map(|step| step.seq).collect::<Vec<_>>(), [2, 3], "1 is the admission");
}

#[tokio::test]
async fn a_cancelled_run_ends_at_once_when_queued_and_soon_when_running() {
    let ledger = ledger_on(&fresh_database().await, |_| {}).await;
    let command = |run_id: &str, id: &str| {
        json!({"schema_version": "learning.mf_cancel.v0", "request_id": id, "run_id": run_id,
               "requester_principal": "tests", "reason": "changed my mind"})
    };
    let queued = admit_one(&ledger, "a").await;
    let outcomes = ledger.admit(&[arrival(2, &command(queued.as_str(), "cmd-0001"))], "w").await.unwrap();
    assert_eq!(outcomes, [Outcome::CommandApplied { run_id: queued.clone() }]);
    assert_eq!(ledger.run(&queued).await.unwrap().unwrap().state, State::Fail);

    let outcomes = ledger.admit(&[arrival(3, &request("req-b-0001", "b"))], "w").await.unwrap();
    let Outcome::Admitted { run_id } = outcomes[0].clone() else { panic!("{outcomes:?}") };
    let lease = ledger.claim("w").await.unwrap().unwrap();
    ledger.admit(&[arrival(4, &command(run_id.as_str(), "cmd-0002"))], "w").await.unwrap();
    assert_eq!(ledger.renew("w", &[(run_id, lease.fence)]).await.unwrap(), [Renewal::CancelRequested]);
    let nobody = command("tr_00000000000000000000000000000000", "cmd-0003");
    let outcomes = ledger.admit(&[arrival(5, &nobody)], "w").await.unwrap();
    assert!(matches!(outcomes[0], Outcome::CommandRejected { .. }), "{outcomes:?}");
}
