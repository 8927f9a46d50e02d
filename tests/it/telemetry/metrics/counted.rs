//! Counters and gauges, with the ledger driven by hand.

use super::scraped::Scraped;
use crate::support::{World, admit_one, arrival, bring, claim, fresh_database, ledger_on, request, revision};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use model_factory::adapters::ledger::{Guarded, Lease, Ledger, Step};
use model_factory::domain::contract::EventRefs;
use model_factory::domain::run::{FailureCode, OutboxKind, State, Transition};
use model_factory::modelling::lineage::LineageSettings;
use std::collections::BTreeMap;

/// The values of a metric that are not zero, by labels.
fn counted(metrics: &PrometheusHandle, name: &str) -> BTreeMap<String, f64> {
    let read = Scraped::read(&metrics.render());
    read.beyond_zero(name).into_iter().map(|(labels, value)| (labels.to_owned(), value)).collect()
}

fn one(labels: &str) -> BTreeMap<String, f64> {
    BTreeMap::from([(labels.to_owned(), 1.0)])
}

async fn advance(ledger: &Ledger, lease: &Lease, steps: &[Step]) -> Guarded {
    ledger.advance(lease, steps).await.unwrap()
}

#[tokio::test]
async fn each_step_counts_once_and_a_record_that_comes_again_does_not() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _here = metrics::set_default_local_recorder(&recorder);
    let ledger = ledger_on(&fresh_database().await, |_| {}).await;

    // The same record twice, as after a crash; then the same request in another record.
    let value = revision("req-counted-0001", "a");
    for _ in 0..2 {
        ledger.admit(&[arrival(1, &value)], "w").await.unwrap();
    }
    assert_eq!(counted(&metrics, "model_factory_requests_total"), one("{outcome=\"admitted\"}"));
    bring(&ledger, &value).await;
    assert_eq!(counted(&metrics, "model_factory_requests_total")["{outcome=\"duplicate_request\"}"], 1.0);

    // A run is given back, claimed again and passes; then its publication meets a cause that no retry can mend.
    let _ = ledger.release(&claim(&ledger).await).await.unwrap();
    assert_eq!(counted(&metrics, "model_factory_runs_requeued_total"), one("{reason=\"none\"}"));
    let to = |transition| Step::to(transition, EventRefs::new());
    let passed = [to(Transition::FinishEvaluation), to(Transition::PassGate), to(Transition::RequestPublish)];
    assert_eq!(advance(&ledger, &claim(&ledger).await, &passed).await, Guarded::Won(State::PublishPending));
    assert_eq!(counted(&metrics, "model_factory_runs_ended_total"), one("{state=\"PASS\",reason=\"none\"}"));
    let again = claim(&ledger).await;
    assert_eq!(counted(&metrics, "model_factory_publish_retries_total"), one(""));
    let conflict = Step::with_reason(Transition::DeferPublish, FailureCode::PublishConflict, "another bundle");
    assert_eq!(advance(&ledger, &again, &[conflict]).await, Guarded::Won(State::PublishPending));
    assert_eq!(counted(&metrics, "model_factory_publish_exhausted_total"), one(""));

    admit_one(&ledger, "b").await;
    let failed = Step::with_reason(Transition::Fail, FailureCode::TrainerFailed, "it ended");
    assert_eq!(advance(&ledger, &claim(&ledger).await, &[failed]).await, Guarded::Won(State::Fail));
    let ended = counted(&metrics, "model_factory_runs_ended_total");
    assert_eq!((ended.len(), ended["{state=\"FAIL\",reason=\"TRAINER_FAILED\"}"]), (2, 1.0));

    admit_one(&ledger, "c").await;
    let lease = claim(&ledger).await;
    let retry = [Step::with_reason(Transition::Requeue, FailureCode::TrainerOutOfMemory, "it was too much")];
    assert_eq!(advance(&ledger, &lease, &retry).await, Guarded::Won(State::Queued));
    assert_eq!(advance(&ledger, &lease, &retry).await, Guarded::Lost);
    let requeued = counted(&metrics, "model_factory_runs_requeued_total");
    assert_eq!((requeued.len(), requeued["{reason=\"TRAINER_OUT_OF_MEMORY\"}"]), (2, 1.0));
    assert_eq!(counted(&metrics, "model_factory_stale_writes_refused_total"), one("{kind=\"step\"}"));
    // A publication attempt does not count as a wait in the queue.
    assert_eq!(counted(&metrics, "model_factory_queue_wait_seconds_count")[""], 4.0);
}

#[tokio::test]
async fn the_gauges_show_what_the_ledger_holds() {
    let lineage = LineageSettings { enabled: true, ..LineageSettings::default() };
    let ledger = ledger_on(&fresh_database().await, |_| {}).await.emitting_lineage(&lineage, 100_000);
    let gauges = ledger.for_gauges().unwrap();
    let empty = gauges.standing().await.unwrap();
    assert_eq!((empty.claimable, empty.oldest_claimable), (0, 0.0));
    let kinds = [OutboxKind::Lifecycle, OutboxKind::Publication, OutboxKind::DeadLetter, OutboxKind::Lineage];
    assert_eq!(empty.outbox, kinds.map(|kind| (kind, 0, 0.0)));
    let ended = |fail| [(State::Pass, 0), (State::Fail, fail), (State::Published, 0)];
    assert_eq!(gauges.ended().await.unwrap(), ended(0));

    for name in ["a", "b", "c", "d"] {
        admit_one(&ledger, name).await;
    }
    let _running = claim(&ledger).await;
    let failed = Step::with_reason(Transition::Fail, FailureCode::TrainerFailed, "it ended");
    let _ = advance(&ledger, &claim(&ledger).await, &[failed]).await;
    // This run may be claimed only after a pause.
    let retry = Step::with_reason(Transition::Requeue, FailureCode::EvidenceUnresolved, "the store is away");
    let _ = advance(&ledger, &claim(&ledger).await, &[retry]).await;
    let later = gauges.standing().await.unwrap();
    let open = [(State::Queued, 2), (State::Running, 1), (State::EvalReady, 0), (State::PublishPending, 0)];
    assert_eq!(later.open, open);
    assert!((1..=2).contains(&later.claimable) && later.oldest_claimable > 0.0, "{later:?}");
    assert!(later.read_at > empty.read_at);
    assert_eq!(gauges.ended().await.unwrap(), ended(1));
    // Four admissions, three starts, a failure and a pause; of lineage the starts and the failure.
    for (kind, count) in [(OutboxKind::Lifecycle, 9), (OutboxKind::Lineage, 4)] {
        let waiting = later.outbox.iter().find(|(other, ..)| *other == kind).unwrap();
        assert!(waiting.1 == count && waiting.2 > 0.0, "{later:?}");
    }
}

#[tokio::test]
async fn a_stage_is_counted_by_how_it_ended() {
    let first = World::new().await;
    first.send(&[request("req-stages-0001").to_string().into_bytes()]).await;
    first.admit(1).await;
    first.run_until_idle(2).await;
    // Another ledger on the same evidence store: the training is reused, and the record of the attempt, which exists,
    // cannot be written.
    let mut second = World::new().await;
    second.config.evidence.url.clone_from(&first.config.evidence.url);
    second.send(&[request("req-stages-0001").to_string().into_bytes()]).await;
    second.admit(1).await;
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _here = metrics::set_default_local_recorder(&recorder);
    second.run_until_idle(2).await;
    let done = ["resolve", "evaluate", "gate", "bundle"].map(|stage| (stage, "done"));
    let stages = done.into_iter().chain([("train", "reused"), ("publish", "failed")]);
    let expected = stages.map(|(stage, end)| (format!("{{stage=\"{stage}\",outcome=\"{end}\"}}"), 1.0)).collect();
    assert_eq!(counted(&metrics, "model_factory_stage_seconds_count"), expected);
    let why = "{state=\"FAIL\",reason=\"EXECUTION_RECORD_IMMUTABILITY_VIOLATION\"}";
    assert_eq!(counted(&metrics, "model_factory_runs_ended_total"), one(why));
}
