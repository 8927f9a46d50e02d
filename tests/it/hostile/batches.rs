//! One record that a whole batch cannot be admitted with, and records that make a batch expensive; beside good requests
//! of somebody else.

use crate::support::{
    World, admit_one, arrival, bring, claim, count, fresh_database, ledger_on, request, revision, sql,
};
use model_factory::adapters::ledger::{Guarded, Step};
use model_factory::domain::contract::{EventReason, RunLifecycleEvent};
use model_factory::domain::run::{FailureCode, Outcome, State, Transition};
use serde_json::json;
use sqlx::{Connection as _, PgConnection, Row as _};
use std::time::{Duration, Instant};

/// Lets a statement fail that inserts the request `req-poison-0001`, by what this SQL does.
async fn poison(world: &World, what: &str) {
    let function = format!(
        "CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN IF NEW.request_id = 'req-poison-0001' THEN {what}; END IF; RETURN NEW; END $$"
    );
    let trigger = "CREATE TRIGGER poison BEFORE INSERT ON requests FOR EACH ROW EXECUTE FUNCTION poison()";
    sql(&world.config.ledger.url, &[&function, trigger]).await;
}

/// Sends so many good requests with the poisonous one among them, and returns the outcome of that one.
async fn admit_around_poison(world: &World, good: usize) -> Outcome {
    let id = |n| if n == good / 3 { "req-poison-0001".to_owned() } else { format!("req-around-{n:04}") };
    let values: Vec<_> = (0..=good).map(|n| request(&id(n)).to_string().into_bytes()).collect();
    world.send(&values).await;
    let mut outcomes = world.admit(good + 1).await;
    let of_poison = outcomes.remove(good / 3);
    assert!(outcomes.iter().all(|outcome| !matches!(outcome, Outcome::Rejected { .. })), "{outcomes:?}");
    of_poison
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_the_ledger_cannot_hold_is_found_by_halving_and_refused_alone() {
    let world = World::new().await;
    poison(&world, "RAISE EXCEPTION 'unfit' USING ERRCODE = '22021'").await;
    let outcome = admit_around_poison(&world, 100).await;
    assert_eq!(outcome, Outcome::Rejected { code: FailureCode::MessageUnreadable });
    let sent = world.drain().await;
    let [events, _, letters] = world.received(sent).await;
    // It stands as it came, and can be sent again once the defect is mended; its sender is told.
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].value, request("req-poison-0001").to_string().into_bytes());
    assert!(letters[0].headers["mf_message"].contains("unfit"), "{:?}", letters[0].headers);
    let refusals: Vec<RunLifecycleEvent> = events
        .iter()
        .map(|event| serde_json::from_slice::<RunLifecycleEvent>(&event.value).unwrap())
        .filter(|event| event.reason.as_ref().is_some_and(|reason| reason.code == FailureCode::MessageUnreadable))
        .collect();
    assert_eq!(refusals[0].request_id.as_deref(), Some("req-poison-0001"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_over_which_statements_time_out_is_refused_once_the_others_are_in() {
    let mut world = World::new().await;
    world.ledger = ledger_on(&world.config.ledger.url, |settings| settings.statement_timeout_ms = 300).await;
    poison(&world, "PERFORM pg_sleep(60)").await;
    let outcome = admit_around_poison(&world, 20).await;
    assert_eq!(outcome, Outcome::Rejected { code: FailureCode::MessageUnreadable });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_is_not_set_up_refuses_no_record() {
    let world = World::new().await;
    world.send(&[request("req-setup-0001").to_string().into_bytes()]).await;
    sql(&world.config.ledger.url, &["ALTER TABLE requests RENAME TO elsewhere"]).await;
    let mut intake = world.intake().await;
    let error = loop {
        match intake.admit_once().await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("model-factory migrate"), "{error}");
    intake.close().await;
    sql(&world.config.ledger.url, &["ALTER TABLE elsewhere RENAME TO requests"]).await;
    assert!(matches!(world.admit(1).await[0], Outcome::Admitted { .. }));
}

/// Before, every fault was formatted: 85 s for 300 such messages in a release.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_faults_cost_about_what_one_costs() {
    let world = World::new().await;
    let mut wrong = request("req-faults-0001");
    wrong["dataset_manifest_refs"] = json!(vec![1; 120_000]);
    let mut values = vec![wrong.to_string().into_bytes(); 30];
    values.push(request("req-beside-faults").to_string().into_bytes());
    world.send(&values).await;
    let since = Instant::now();
    let outcomes = world.admit(31).await;
    let took = since.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(outcomes[..30].iter().all(|outcome| *outcome == Outcome::Rejected { code: FailureCode::SchemaInvalid }));
    assert!(matches!(outcomes[30], Outcome::Admitted { .. }));
}

/// Before, the acts of 230 such joins came to 70 MB, and the audit log's CHECK ended every worker. A few are enough to see
/// what each adds: a batch has at most a thousand.
#[tokio::test]
async fn joins_onto_runs_with_many_inputs_fit_into_the_audit_log_and_the_outbox() {
    const JOINS: i64 = 20;
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |_| {}).await;
    let quiet = |n: i64| {
        let mut request = revision(&format!("req-quiet-{n:04}"), &format!("c{n}"));
        request["publish_allowed"] = json!(false);
        arrival(n, &request)
    };
    ledger.admit(&(0..JOINS).map(quiet).collect::<Vec<_>>(), "w").await.unwrap();
    let passed = format!(
        "UPDATE runs SET state = 'PASS', refs = (SELECT jsonb_object_agg('inputs/manifest_' || n || '.json',
             jsonb_build_object('ref', '{}/' || n, 'sha256', repeat('0', 64))) FROM generate_series(1, 100) AS n)",
        "p".repeat(3_000)
    );
    sql(&url, &[&passed]).await;
    let join = |n: i64| arrival(1_000 + n, &revision(&format!("req-joins-{n:04}"), &format!("c{n}")));
    let outcomes = ledger.admit(&(0..JOINS).map(join).collect::<Vec<_>>(), "w").await.unwrap();
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::DuplicateRun { .. })), "{outcomes:?}");
    let mut owner = PgConnection::connect(&url).await.unwrap();
    let largest =
        "SELECT max(octet_length(body))::bigint, (SELECT max(length(value))::bigint FROM outbox) FROM audit_log";
    let row = sqlx::query(largest).fetch_one(&mut owner).await.unwrap();
    let (block, event): (i64, i64) = (row.get(0), row.get(1));
    assert!(block / JOINS * 1_000 < 64 << 20 && event < 250_000, "a block of {block} bytes, an event of {event}");
    let last = "SELECT value FROM outbox WHERE kind = 'LIFECYCLE' ORDER BY id DESC LIMIT 1";
    let value: Vec<u8> = sqlx::query(last).fetch_one(&mut owner).await.unwrap().get(0);
    let event: RunLifecycleEvent = serde_json::from_slice(&value).unwrap();
    assert_eq!((event.refs.len(), event.refs["inputs/…"].reference.split(' ').next()), (65, Some("36")));
    owner.close().await.unwrap();
}

#[tokio::test]
async fn thousands_of_runs_that_look_alike_cost_an_admission_nothing() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |_| {}).await;
    let run_id = admit_one(&ledger, "alike").await;
    let copies = format!(
        "INSERT INTO runs (run_id, run_key, near_key, request_id, tenant, publish_allowed, available_at, created_at,
                           updated_at, state, reason_code)
         SELECT 'tr_' || md5(n::text), sha256(n::text::bytea), near_key, request_id, tenant, false, now(), now(), now(),
                'FAIL', 'CANCELLED'
         FROM runs, generate_series(1, 14000) AS n WHERE run_id = '{run_id}'"
    );
    sql(&url, &[&copies, "ANALYZE runs"]).await;
    // Case is all that sets them apart.
    let alike = |n: usize| {
        let revision_of = |c: usize| if n >> c & 1 == 1 { "ALIKE".chars().nth(c) } else { "alike".chars().nth(c) };
        let name: String = (0..5).filter_map(revision_of).collect();
        arrival(n as i64, &revision(&format!("req-case-{n:05}"), &name))
    };
    let since = Instant::now();
    for n in 1..32 {
        let outcome = ledger.admit(&[alike(n)], "w").await.unwrap().remove(0);
        assert!(matches!(outcome, Outcome::Admitted { .. }), "{outcome:?}");
    }
    let took = since.elapsed();
    assert!(took < Duration::from_secs(3), "31 admissions took {took:?}");
    let named = "outbox WHERE convert_from(value, 'UTF8')::jsonb -> 'near_misses' IS NOT NULL
                 AND jsonb_array_length(convert_from(value, 'UTF8')::jsonb -> 'near_misses') = 16";
    assert_eq!(count(&url, named).await, 31, "each names as many as it may");
}

#[tokio::test]
async fn the_same_manifests_in_another_order_are_the_same_request() {
    let ledger = ledger_on(&fresh_database().await, |_| {}).await;
    let with = |manifests: &[&str]| {
        let mut request = request("req-order-0001");
        request["dataset_manifest_refs"] = json!(manifests);
        request
    };
    let Outcome::Admitted { run_id } = bring(&ledger, &with(&["b.json", "a.json"])).await else { panic!("admitted") };
    for again in [&["b.json", "a.json"][..], &["a.json", "b.json"], &["a.json", "b.json", "a.json"]] {
        let outcome = bring(&ledger, &with(again)).await;
        assert_eq!(outcome, Outcome::DuplicateRequest { run_id: run_id.clone() }, "{again:?}");
    }
    let outcome = bring(&ledger, &with(&["c.json", "a.json"])).await;
    assert_eq!(outcome, Outcome::Conflict { run_id, differs: vec!["/dataset_manifest_refs".to_owned()] });
    // The same within one batch.
    let batch = [arrival(1, &with(&["a.json", "b.json"])), arrival(2, &with(&["b.json", "a.json"]))];
    let outcomes = ledger.admit(&batch, "w").await.unwrap();
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::DuplicateRequest { .. })), "{outcomes:?}");
}

/// Before, Postgres refused the row, three leases expired, and the run ended with "the worker was lost".
#[tokio::test]
async fn a_failure_that_quotes_nul_or_a_megabyte_ends_its_run_with_its_own_code() {
    let ledger = ledger_on(&fresh_database().await, |_| {}).await;
    let run_id = admit_one(&ledger, "nul").await;
    let message = format!("the value {:?} is \0 no number{}", '\0', "x".repeat(2_000_000));
    let lease = claim(&ledger).await;
    let step = Step::with_reason(Transition::Fail, FailureCode::DatasetInvalid, &message);
    assert_eq!(ledger.advance(&lease, &[step]).await.unwrap(), Guarded::Won(State::Fail));
    let run = ledger.run(&run_id).await.unwrap().unwrap();
    let reason = run.reason_message.unwrap();
    assert_eq!(run.reason_code.as_deref(), Some("DATASET_INVALID"));
    assert!(reason.starts_with(r"the value '\0' is \u{0} no number") && reason.len() <= EventReason::MESSAGE_CAP);
}
