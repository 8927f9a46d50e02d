//! Releases side by side on one ledger: a database with the first release's schema before and after `migrate`, and the
//! statements of a worker that knows only that schema.

use crate::support::{World, bring, fail_one, fresh_database, request, revision};
use model_factory::adapters::ledger::{Error, Ledger, LedgerSettings};
use model_factory::domain::identity::RunId;
use model_factory::domain::run::{Outcome, State};
use serde_json::{Value, json};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Connection as _, PgConnection, SqlSafeStr as _};
use std::borrow::Cow;

const FIRST: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/postgres/0001_ledger.sql"));

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

fn refused(checked: Result<(), Error>) -> String {
    match checked {
        Err(Error::Refused(why)) => why,
        other => panic!("{other:?}"),
    }
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

/// The statements of a worker of the first release; they name only what 0001 has.
struct OldWorker(PgConnection);

impl OldWorker {
    /// Admits a request as the record at this offset.
    async fn admits(&mut self, offset: i64, identified: &Identified) {
        let Identified { value, run_id, run_key, near_key, payload } = identified;
        let (run_id, request_id) = (run_id.as_str(), value["request_id"].as_str().unwrap());
        let value = value.to_string().into_bytes();
        let mut transaction = self.0.begin().await.unwrap();
        for statement in [
            sqlx::query("INSERT INTO tenants (tenant) VALUES ('') ON CONFLICT DO NOTHING"),
            sqlx::query(
                r#"INSERT INTO inbox (topic, partition, "offset", key, value, outcome, request_id, received_at)
                   VALUES ('old', 0, $4, NULL, $1, jsonb_build_object('outcome', 'ADMITTED', 'run_id', $2::text), $3, now())"#,
            )
            .bind(&value)
            .bind(run_id)
            .bind(request_id)
            .bind(offset),
            sqlx::query(
                r#"INSERT INTO requests (request_id, run_id, payload_digest, topic, partition, "offset",
                                         duplicate_announced, admitted_at)
                   VALUES ($1, $2, $3, 'old', 0, $4, false, now())"#,
            )
            .bind(request_id)
            .bind(run_id)
            .bind(payload)
            .bind(offset),
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

    /// Runs statements that change one row each.
    async fn run(&mut self, statements: &[&'static str], run_id: &str) {
        for statement in statements {
            let done = sqlx::query(*statement).bind(run_id).execute(&mut self.0).await.unwrap();
            assert_eq!(done.rows_affected(), 1, "{statement}");
        }
    }
}

/// A request with its identity, which is the same in every release.
struct Identified {
    value: Value,
    run_id: RunId,
    run_key: Vec<u8>,
    near_key: Vec<u8>,
    payload: Vec<u8>,
}

impl Identified {
    /// Takes the identity from this release, which admits the request to a ledger of its own.
    async fn of(value: Value) -> Self {
        let url = fresh_database().await;
        let model = connect(&url).await;
        model.migrate().await.unwrap();
        let Outcome::Admitted { run_id } = bring(&model, &value).await else { panic!("a new run") };
        model.close().await;
        let mut read = PgConnection::connect(&url).await.unwrap();
        let (run_key, near_key, payload) =
            sqlx::query_as("SELECT r.run_key, r.near_key, q.payload_digest FROM runs r JOIN requests q USING (run_id)")
                .fetch_one(&mut read)
                .await
                .unwrap();
        Self { value, run_id, run_key, near_key, payload }
    }
}

const STARTS: [&str; 3] = [
    "UPDATE runs SET state = 'RUNNING', execution_mode = 'FULL', lease_owner = 'old', full_run_attempts = 1,
            lease_expires_at = clock_timestamp() + interval '1 hour', fence = fence + 1, next_seq = 3, updated_at = now()
     WHERE run_id = $1 AND fence = 0 AND state = 'QUEUED'",
    "INSERT INTO transitions (run_id, seq, transition, from_state, to_state, execution_mode, attempt, fence, worker,
                              reason_code, reason_message, at)
     VALUES ($1, 2, 'START', 'QUEUED', 'RUNNING', 'FULL', 1, 1, 'old', NULL, NULL, now())",
    "INSERT INTO outbox (stream, seq, kind, event_id, key, value, headers, created_at)
     VALUES ($1, 2, 'LIFECYCLE', 'evt_old_' || $1, NULL, '{}', '[]', now())",
];
/// Heartbeat, act, mark of the relay and drain, between a start and an end.
const MEANWHILE: [&str; 4] = [
    "UPDATE runs SET lease_expires_at = clock_timestamp() + interval '1 hour', progress = '{\"stage\": \"fit\", \"percent\": 10}'
     WHERE run_id = $1 AND fence = 1 AND lease_owner = 'old' AND lease_expires_at > clock_timestamp()",
    "INSERT INTO acts (run_id, act, actor, reason, refused_code, at) VALUES ($1, 'REQUEUE', 'op', 'test', NULL, now())",
    "UPDATE outbox SET sent_at = now(), sent_topic = 't', sent_partition = 0, sent_offset = 1
     WHERE stream = $1 AND sent_at IS NULL",
    // The drain gives the run back.
    "UPDATE runs SET state = 'QUEUED', execution_mode = 'NONE', lease_owner = NULL, lease_expires_at = NULL,
            full_run_attempts = 0, progress = NULL, next_seq = 4, available_at = now(), updated_at = now()
     WHERE run_id = $1 AND fence = 1",
];
const FAILS: [&str; 2] = [
    "UPDATE runs SET state = 'FAIL', execution_mode = 'NONE', lease_owner = NULL, lease_expires_at = NULL,
            reason_code = 'MANIFEST_INVALID', next_seq = 4, updated_at = now()
     WHERE run_id = $1 AND fence = 1 AND lease_owner = 'old' AND lease_expires_at > clock_timestamp()",
    "INSERT INTO transitions (run_id, seq, transition, from_state, to_state, execution_mode, attempt, fence, worker,
                              reason_code, reason_message, at)
     VALUES ($1, 3, 'FAIL', 'RUNNING', 'FAIL', 'NONE', 1, 1, 'old', 'MANIFEST_INVALID', NULL, now())",
];
/// The lease of a killed worker expires.
const IS_LOST: &str = "UPDATE runs SET lease_expires_at = clock_timestamp() WHERE run_id = $1";

#[tokio::test]
async fn runs_of_the_first_release_are_finished_by_whoever_has_them_when_the_schema_grows() {
    let url = of_the_first_release().await;
    let mut old = OldWorker(PgConnection::connect(&url).await.unwrap());
    let mut requests = Vec::new();
    for index in 0..4 {
        let one = Identified::of(revision(&format!("req-upgrade-000{index}"), &format!("c{index}"))).await;
        old.admits(index, &one).await;
        requests.push(one);
    }
    let [failed, in_hand, lost, _queued] = [0, 1, 2, 3].map(|index| requests[index].run_id.as_str());
    old.run(&STARTS, failed).await;
    old.run(&FAILS, failed).await;
    old.run(&STARTS, in_hand).await;
    old.run(&STARTS, lost).await;
    old.run(&[IS_LOST], lost).await;

    let ledger = connect(&url).await;
    assert!(!ledger.migrate().await.unwrap().is_empty());
    // A lease from before the migration still holds.
    old.run(&FAILS, in_hand).await;
    fail_one(&ledger).await;
    assert_eq!(ledger.requeue_expired("this release", 16).await.unwrap().len(), 1);
    fail_one(&ledger).await;
    assert_eq!(ledger.counts().await.unwrap().runs["FAIL"], 4);
    let again = bring(&ledger, &requests[0].value).await;
    assert_eq!(again, Outcome::DuplicateRequest { run_id: requests[0].run_id.clone() });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_workers_statements_work_on_the_new_schema_and_this_release_finishes_what_it_began() {
    let world = World::new().await;
    let identified = Identified::of(request("req-old-0001")).await;
    let (value, run_id) = (&identified.value, &identified.run_id);
    let mut old = OldWorker(PgConnection::connect(&world.config.ledger.url).await.unwrap());
    old.admits(1, &identified).await;
    old.run(&STARTS, run_id.as_str()).await;
    old.run(&MEANWHILE, run_id.as_str()).await;
    // This release recognises the request and finishes the run.
    assert_eq!(bring(&world.ledger, value).await, Outcome::DuplicateRequest { run_id: run_id.clone() });
    world.run_until_idle(2).await;
    world.drain().await;
    let done = world.ledger.run(run_id).await.unwrap().unwrap();
    assert_eq!((done.state, done.fence, done.full_run_attempts), (State::Published, 2, 1), "{:?}", done.reason_message);
    let published = world.publications(1).await;
    assert_eq!(serde_json::from_slice::<Value>(&published[0].value).unwrap()["run_id"], json!(run_id));
}
