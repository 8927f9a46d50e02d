//! Pruning: what it deletes, what it keeps, and that repeated records get the same outcomes as before.

use crate::support::{
    World, arrival, as_role, bring, count, eventually, fail_one, fresh_database, ledger_on, revision, sql,
};
use model_factory::adapters::ledger::{Ledger, LedgerSettings, Pruned};
use model_factory::domain::run::{Outcome, State};
use model_factory::modelling::lineage::LineageSettings;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use std::time::Duration;

const DAYS_90: Duration = Duration::from_hours(90 * 24);
const BOUND: Duration = Duration::from_mins(2);

const PRUNE: &str = "model_factory_prune";

/// Moves everything that is decided, sent or ended by now a hundred days back.
const LONG_AGO: [&str; 3] = [
    "UPDATE inbox SET received_at = received_at - interval '100 days' WHERE received_at > now() - interval '1 day'",
    "UPDATE outbox SET created_at = created_at - interval '100 days', sent_at = sent_at - interval '100 days'
     WHERE sent_at > now() - interval '1 day'",
    "UPDATE runs SET created_at = created_at - interval '100 days', updated_at = updated_at - interval '100 days'
     WHERE updated_at > now() - interval '1 day' AND state IN ('FAIL', 'PASS', 'PUBLISHED')",
];

/// Marks every row as a relay does.
const SENT: &str = "UPDATE outbox SET sent_at = now(), sent_topic = 't', sent_partition = 0, sent_offset = id
                    WHERE sent_at IS NULL";

/// Prunes to the end, as the role that may do nothing else.
async fn prune(url: &str, dry_run: bool) -> Pruned {
    let settings = LedgerSettings { url: as_role(url, PRUNE), lock_timeout_ms: 1_000, ..LedgerSettings::default() };
    let ledger = Ledger::connect(&settings).await.unwrap();
    let mut pruning = ledger.pruning(DAYS_90, dry_run).await.unwrap();
    let mut total = Pruned::default();
    while let Some(some) = ledger.prune_some(&mut pruning).await.unwrap() {
        total += some;
    }
    ledger.close().await;
    total
}

fn cancel(run_id: &str) -> Value {
    json!({"schema_version": "learning.mf_cancel.v0", "request_id": "req-cancel-0001", "run_id": run_id,
           "requester_principal": "tests", "reason": "no longer needed"})
}

#[tokio::test]
async fn lineage_of_a_run_that_ended_goes_once_it_was_sent() {
    const SENT_START: &str = "UPDATE lineage_outbox SET sent_at = now(), sent_topic = 't', sent_partition = 0,
                              sent_offset = id WHERE event_type = 'START'";
    let url = fresh_database().await;
    let on = LineageSettings { enabled: true, ..LineageSettings::default() };
    let ledger = ledger_on(&url, |_| {}).await.emitting_lineage(&on, 900_000);
    bring(&ledger, &revision("req-prune-0001", "c1")).await;
    bring(&ledger, &revision("req-prune-0002", "c2")).await;
    fail_one(&ledger).await;
    ledger.claim("w").await.unwrap().expect("a run that stays open");
    sql(&url, &[SENT_START]).await;
    sql(&url, &LONG_AGO).await;
    let dry = prune(&url, true).await;
    assert_eq!((dry.outbox, count(&url, "lineage_outbox").await), (1, 3));
    assert_eq!(prune(&url, false).await, dry);
    assert_eq!(count(&url, "lineage_outbox WHERE event_type = 'FAIL' AND sent_at IS NULL").await, 1);
    assert_eq!(count(&url, "lineage_outbox WHERE event_type = 'START'").await, 1, "of the open run");
}

#[tokio::test]
async fn what_is_old_goes_and_what_comes_again_is_recognised_as_before() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |_| {}).await;
    let (first, mut other) = (revision("req-prune-0001", "c1"), revision("req-prune-0001", "c1"));
    other["config_revision"] = json!("other");
    let bad = json!({"no": "request"});
    let records = [first.clone(), first.clone(), other, bad];
    let arrivals: Vec<_> = records.iter().enumerate().map(|(at, value)| arrival(at as i64, value)).collect();
    let before = ledger.admit(&arrivals, "w").await.unwrap();
    let Outcome::Admitted { run_id } = &before[0] else { panic!("{before:?}") };
    fail_one(&ledger).await;
    // One run waits, and a command ends another.
    bring(&ledger, &revision("req-prune-0002", "c2")).await;
    let Outcome::Admitted { run_id: cancelled } = bring(&ledger, &revision("req-prune-0003", "c3")).await else {
        panic!("a new run")
    };
    let command = arrival(4, &cancel(cancelled.as_str()));
    let applied = ledger.admit(std::slice::from_ref(&command), "w").await.unwrap();
    assert!(matches!(applied[0], Outcome::CommandApplied { .. }), "{applied:?}");
    sql(&url, &[SENT]).await;
    sql(&url, &LONG_AGO).await;
    // A refusal that is not old yet stays.
    bring(&ledger, &json!({"yesterday": true})).await;
    sql(&url, &[SENT]).await;

    let would = prune(&url, true).await;
    assert_eq!(count(&url, "transitions").await, 3, "a dry run deletes nothing");
    let did = prune(&url, false).await;
    assert_eq!(did, would);
    // Transitions START, FAIL and CANCEL. In the outbox their three events, those of two admissions and a duplicate, and
    // two dead letters and one event of the conflict and the bad message.
    assert_eq!(did, Pruned { transitions: 3, outbox: 9, registry_events: 0, inbox: 3 });
    assert_eq!(prune(&url, false).await, Pruned::default());
    assert_eq!(count(&url, "runs").await, 3);
    assert_eq!(count(&url, "requests").await, 3);
    assert_eq!(count(&url, "inbox").await, 5, "three requests, a command, and yesterday's");
    assert_eq!(count(&url, "acts").await, 1);
    assert_eq!(count(&url, "outbox WHERE kind = 'LIFECYCLE'").await, 1, "of the run that waits");

    // The whole topic comes again.
    let again = ledger.admit(&arrivals, "w").await.unwrap();
    assert_eq!(again, before);
    assert_eq!(ledger.admit(std::slice::from_ref(&command), "w").await.unwrap(), applied);
    assert_eq!(count(&url, "acts").await, 1, "no command is applied twice");
    assert_eq!(count(&url, "runs").await, 3);
    // The same meaning under another id, and under its own.
    let renamed = bring(&ledger, &revision("req-prune-0009", "c1")).await;
    assert_eq!(renamed, Outcome::DuplicateRun { run_id: run_id.clone() });
    assert_eq!(bring(&ledger, &first).await, Outcome::DuplicateRequest { run_id: run_id.clone() });
    let run = ledger.run(run_id).await.unwrap().unwrap();
    assert_eq!((run.state, run.full_run_attempts), (State::Fail, 1));
    // The next event continues the numbers of the run.
    assert_eq!(count(&url, &format!("outbox WHERE stream = '{run_id}' AND seq = 5")).await, 1);
}

#[tokio::test]
async fn what_was_not_sent_is_never_deleted() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |_| {}).await;
    bring(&ledger, &json!({"no": "request"})).await;
    bring(&ledger, &revision("req-unsent-0001", "c1")).await;
    fail_one(&ledger).await;
    sql(&url, &LONG_AGO).await;
    let pruned = prune(&url, false).await;
    assert_eq!(pruned, Pruned { transitions: 2, ..Pruned::default() });
    assert_eq!(count(&url, "outbox WHERE sent_at IS NULL").await, 4);
    sql(&url, &[SENT]).await;
    sql(&url, &LONG_AGO).await;
    assert_eq!(prune(&url, false).await, Pruned { outbox: 4, inbox: 1, ..Pruned::default() });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pruning_waits_for_nobody_and_disturbs_nobody() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |_| {}).await;
    bring(&ledger, &revision("req-locked-0001", "locked")).await;
    fail_one(&ledger).await;
    sql(&url, &[SENT]).await;
    sql(&url, &LONG_AGO).await;
    let mut other = PgConnection::connect(&url).await.unwrap();
    let mut held = other.begin().await.unwrap();
    sqlx::query("SELECT FROM runs FOR UPDATE").execute(&mut *held).await.unwrap();
    assert_eq!(prune(&url, false).await, Pruned::default(), "another session has the row locked");
    held.rollback().await.unwrap();
    assert_eq!(prune(&url, false).await.transitions, 2);

    let working = async {
        for index in 0..60 {
            bring(&ledger, &revision(&format!("req-beside-{index:04}"), &format!("c{index}"))).await;
            bring(&ledger, &json!({"no request": index})).await;
            fail_one(&ledger).await;
        }
    };
    let pruning = async {
        let mut total = Pruned::default();
        loop {
            sql(&url, &[SENT]).await;
            sql(&url, &LONG_AGO).await;
            total += prune(&url, false).await;
            if total.transitions == 120 {
                return total;
            }
        }
    };
    let (pruned, ()) = tokio::join!(tokio::time::timeout(BOUND, pruning), working);
    assert_eq!(pruned.expect("everything was pruned in the end").transitions, 120);
    assert_eq!(ledger.counts().await.unwrap().runs["FAIL"], 61);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_that_was_killed_is_completed_by_the_next() {
    const RUNS: i64 = 40_000;
    let world = World::new().await;
    let url = &world.config.ledger.url;
    let runs = format!(
        "INSERT INTO runs (run_id, run_key, near_key, request_id, tenant, state, publish_allowed, reason_code,
                           available_at, created_at, updated_at)
         SELECT 'tr_' || md5(n::text), decode(repeat(md5(n::text), 2), 'hex'), decode(repeat(md5(n::text), 2), 'hex'),
                'req-' || n, '', 'FAIL', false, 'MANIFEST_INVALID', now(), now() - interval '100 days',
                now() - interval '100 days'
         FROM generate_series(1, {RUNS}) n"
    );
    let steps =
        "INSERT INTO transitions (run_id, seq, transition, from_state, to_state, execution_mode, attempt, fence,
                                          worker, at)
                 SELECT run_id, 2, 'CANCEL', 'QUEUED', 'FAIL', 'NONE', 0, 0, 'w', created_at FROM runs";
    sql(url, &[&runs, steps]).await;
    let as_pruning = |arguments: &[&str]| {
        let mut command = world.command(arguments);
        command.env("MODEL_FACTORY_LEDGER__URL", as_role(url, PRUNE));
        command
    };
    let mut first = as_pruning(&["prune", "--older-than", "90d"]).spawn().unwrap();
    eventually("a first batch", BOUND, || async { (count(url, "transitions").await < RUNS).then_some(()) }).await;
    first.kill().unwrap();
    assert_eq!(first.wait().unwrap().code(), None, "it was killed before its end");
    let left = count(url, "transitions").await;
    assert!(left > 0 && left % 200 == 0, "whole batches: {left}");
    let second = as_pruning(&["prune", "--older-than", "90d", "--output", "json"]).output().unwrap();
    let printed: Value = serde_json::from_slice(&second.stdout).unwrap();
    assert_eq!(printed["deleted"]["transitions"], left);
    assert_eq!(count(url, "transitions").await, 0);
    assert_eq!(count(url, "runs").await, RUNS);
    let young = as_pruning(&["prune", "--older-than", "1h"]).output().unwrap();
    assert!(!young.status.success());
    assert!(String::from_utf8_lossy(&young.stderr).contains("a day at least"));
}
