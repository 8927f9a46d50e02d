//! Releases side by side on one ledger: a database of the first release's schema, before and after it is brought to
//! this one's, and statements of a worker that knows only the first.

use crate::support::{World, bring, eventually, fresh_database, request, revision};
use model_factory::ledger::{Fault, Guarded, Ledger, LedgerSettings, Outcome, Step};
use model_factory::run::{FailureCode, State, Transition};
use serde_json::json;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Connection as _, PgConnection, SqlSafeStr as _};
use std::borrow::Cow;
use std::time::Duration;

const BOUND: Duration = Duration::from_mins(2);
const FIRST: &str = include_str!("../../schemas/postgres/0001_ledger.sql");

/// A database as the first release's `migrate` leaves it.
async fn of_the_first_release() -> String {
    let url = fresh_database().await;
    let first = Migration::new(1, Cow::Borrowed("ledger"), MigrationType::Simple, FIRST.into_sql_str(), false);
    let mut connection = PgConnection::connect(&url).await.unwrap();
    Migrator::with_migrations(vec![first]).run(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    url
}

async fn connect(url: &str) -> Ledger {
    let settings =
        LedgerSettings { url: url.to_owned(), max_connections: 4, lease_seconds: 6, ..LedgerSettings::default() };
    Ledger::connect(&settings).await.unwrap()
}

fn refused(checked: Result<(), Fault>) -> String {
    match checked {
        Err(Fault::Refused(why)) => why,
        other => panic!("{other:?}"),
    }
}

async fn fail_one(ledger: &Ledger) {
    let lease = ledger.claim("this release").await.unwrap().expect("a queued run");
    let step = Step::with_reason(Transition::Fail, FailureCode::ManifestInvalid, "not a manifest");
    assert_eq!(ledger.advance(&lease, &[step]).await.unwrap(), Guarded::Won(State::Fail));
}

#[tokio::test]
async fn a_worker_refuses_a_schema_that_it_does_not_know_and_says_what_to_do() {
    let url = of_the_first_release().await;
    let ledger = connect(&url).await;
    let older = refused(ledger.check_schema().await);
    assert!(
        older.contains("version 1, older than") && older.contains("`model-factory migrate` of this release"),
        "{older}"
    );
    assert!(!ledger.migrate().await.unwrap().is_empty());
    ledger.check_schema().await.unwrap();
    assert!(ledger.migrate().await.unwrap().is_empty(), "once is enough");

    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'of a release to come', true, '', 0)",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let newer = refused(ledger.check_schema().await);
    assert!(newer.contains("version 9999, newer than") && newer.contains("a newer one"), "{newer}");
}

#[tokio::test]
async fn runs_of_the_first_release_are_finished_before_and_after_the_migration() {
    let ledger = connect(&of_the_first_release().await).await;
    for index in 0..4 {
        bring(&ledger, &revision(&format!("req-upgrade-000{index}"), &format!("c{index}"))).await;
    }
    // Before: the migration is not there yet, and what works works on.
    fail_one(&ledger).await;
    let claimed = ledger.claim("old worker").await.unwrap().unwrap();
    ledger.migrate().await.unwrap();
    // In the middle: a lease that was taken before holds.
    let step = Step::with_reason(Transition::Fail, FailureCode::ManifestInvalid, "not a manifest");
    assert_eq!(ledger.advance(&claimed, &[step]).await.unwrap(), Guarded::Won(State::Fail));
    let _lost = ledger.claim("killed while it was replaced").await.unwrap().unwrap();
    // After: the rest, and what its worker left.
    fail_one(&ledger).await;
    eventually("the lost lease", BOUND, || async {
        (!ledger.requeue_expired("this release", 16).await.unwrap().is_empty()).then_some(())
    })
    .await;
    fail_one(&ledger).await;
    assert_eq!(ledger.counts().await.unwrap().runs["FAIL"], 4);
    let again = bring(&ledger, &revision("req-upgrade-0000", "c0")).await;
    assert!(matches!(again, Outcome::DuplicateRequest { .. }), "{again:?}");
}

/// A worker of the first release, as its statements: what they name is all that 0001 has.
struct OldWorker(PgConnection);

impl OldWorker {
    async fn admits(&mut self, run_id: &str, request_id: &str, value: &[u8], digests: [&[u8]; 3]) {
        let [run_key, near_key, payload] = digests;
        let mut transaction = self.0.begin().await.unwrap();
        for statement in [
            sqlx::query("INSERT INTO tenants (tenant) VALUES ('') ON CONFLICT DO NOTHING"),
            sqlx::query(
                r#"INSERT INTO inbox (topic, partition, "offset", key, value, outcome, request_id, received_at)
                   VALUES ('old', 0, 1, NULL, $1, jsonb_build_object('outcome', 'ADMITTED', 'run_id', $2::text), $3, now())"#,
            )
            .bind(value)
            .bind(run_id)
            .bind(request_id),
            sqlx::query(
                r#"INSERT INTO requests (request_id, run_id, payload_digest, topic, partition, "offset",
                                         duplicate_announced, admitted_at)
                   VALUES ($1, $2, $3, 'old', 0, 1, false, now())"#,
            )
            .bind(request_id)
            .bind(run_id)
            .bind(payload),
            sqlx::query(
                "INSERT INTO runs (run_id, run_key, near_key, request_id, tenant, priority, state, execution_mode,
                                   publish_allowed, full_run_attempts, publish_retry_attempts, full_attempts_before,
                                   publish_attempts_before, fence, cancel_requested, available_at, refs, next_seq,
                                   created_at, updated_at)
                 VALUES ($1, $2, $3, $4, '', 0, 'QUEUED', 'NONE', true, 0, 0, 0, 0, 0, false, now(), '{}', 2, now(),
                         now())",
            )
            .bind(run_id)
            .bind(run_key)
            .bind(near_key)
            .bind(request_id),
        ] {
            statement.execute(&mut *transaction).await.unwrap();
        }
        transaction.commit().await.unwrap();
    }

    async fn does(&mut self, statement: &'static str, run_id: &str) {
        let done = sqlx::query(statement).bind(run_id).execute(&mut self.0).await.unwrap();
        assert_eq!(done.rows_affected(), 1, "{statement}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_workers_statements_work_on_the_new_schema_and_this_release_finishes_what_it_began() {
    // What this release makes of the same request, taken from a ledger of its own.
    let (model, value) = (World::new().await, request("req-old-0001"));
    let Outcome::Admitted { run_id } = bring(&model.ledger, &value).await else { panic!("a new run") };
    let mut read = PgConnection::connect(&model.config.ledger.url).await.unwrap();
    let (run_key, near_key, payload): (Vec<u8>, Vec<u8>, Vec<u8>) =
        sqlx::query_as("SELECT r.run_key, r.near_key, q.payload_digest FROM runs r JOIN requests q USING (run_id)")
            .fetch_one(&mut read)
            .await
            .unwrap();

    let world = World::new().await;
    let mut old = OldWorker(PgConnection::connect(&world.config.ledger.url).await.unwrap());
    let bytes = value.to_string().into_bytes();
    old.admits(run_id.as_str(), "req-old-0001", &bytes, [&run_key, &near_key, &payload]).await;
    let run = run_id.as_str();
    for statement in [
        "UPDATE runs SET state = 'RUNNING', execution_mode = 'FULL', lease_owner = 'old', full_run_attempts = 1,
                lease_expires_at = clock_timestamp() + interval '1 hour', fence = fence + 1, next_seq = 3, updated_at = now()
         WHERE run_id = $1 AND fence = 0 AND state = 'QUEUED'",
        "INSERT INTO transitions (run_id, seq, transition, from_state, to_state, execution_mode, attempt, fence, worker,
                                  reason_code, reason_message, at)
         VALUES ($1, 2, 'START', 'QUEUED', 'RUNNING', 'FULL', 1, 1, 'old', NULL, NULL, now())",
        "INSERT INTO outbox (stream, seq, kind, event_id, key, value, headers, created_at)
         VALUES ($1, 2, 'LIFECYCLE', 'evt_old', NULL, '{}', '[]', now())",
        "UPDATE runs SET lease_expires_at = clock_timestamp() + interval '1 hour', progress = '{\"stage\": \"fit\", \"percent\": 10}'
         WHERE run_id = $1 AND fence = 1 AND lease_owner = 'old' AND lease_expires_at > clock_timestamp()",
        "INSERT INTO acts (run_id, act, actor, reason, refused_code, at) VALUES ($1, 'REQUEUE', 'op', 'test', NULL, now())",
        "UPDATE outbox SET sent_at = now(), sent_topic = 't', sent_partition = 0, sent_offset = 1
         WHERE stream = $1 AND sent_at IS NULL",
        // It drains: the run goes back.
        "UPDATE runs SET state = 'QUEUED', execution_mode = 'NONE', lease_owner = NULL, lease_expires_at = NULL,
                full_run_attempts = 0, progress = NULL, next_seq = 4, available_at = now(), updated_at = now()
         WHERE run_id = $1 AND fence = 1",
    ] {
        old.does(statement, run).await;
    }
    // This release knows the request, and finishes the run.
    assert_eq!(bring(&world.ledger, &value).await, Outcome::DuplicateRequest { run_id: run_id.clone() });
    world.run_until_idle(2).await;
    world.drain().await;
    let done = world.ledger.run(&run_id).await.unwrap().unwrap();
    assert_eq!((done.state, done.fence, done.full_run_attempts), (State::Published, 2, 1), "{:?}", done.reason_message);
    let published: Vec<_> = world.publications(1).await;
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&published[0].value).unwrap()["run_id"], json!(run_id));
}
