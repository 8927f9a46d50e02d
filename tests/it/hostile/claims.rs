//! Claims beside many tenants, and beside workers that freeze or die in a claim.

use crate::support::{
    SilentWay, admit_one, as_worker, bring, claim, count, eventually, fresh_database, ledger_on, revision, sql,
};
use model_factory::adapters::ledger::{Ledger, LedgerSettings};
use model_factory::domain::run::Outcome;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use std::time::{Duration, Instant};

/// The longest that a good run may wait for a claim while another one stands still: a slot comes four times a second.
const USUAL: Duration = Duration::from_secs(1);
/// The longest that a frozen claim holds what it has locked, on a busy machine.
const FROZEN: Duration = Duration::from_secs(10);

/// Admits a run of this tenant.
async fn bring_of(ledger: &Ledger, tenant: &str, id: &str) {
    let mut value = revision(id, id);
    value["target_scope"]["tenant_id"] = json!(tenant);
    assert!(matches!(bring(ledger, &value).await, Outcome::Admitted { .. }));
}

/// Inserts runs of tenants that are named by numbers: one each, with the request of a run that is there.
async fn insert_runs(on: &mut PgConnection, tenants: std::ops::Range<u32>, priority: i16, available_at: &str) {
    let (start, end) = (tenants.start, tenants.end - 1);
    let statement = format!(
        "INSERT INTO tenants SELECT 'many-' || n FROM generate_series({start}, {end}) n ON CONFLICT DO NOTHING;
         INSERT INTO runs (run_id, run_key, near_key, request_id, tenant, priority, publish_allowed, next_seq,
                           available_at, created_at, updated_at)
         SELECT 'tr_' || md5('many' || n || '/' || count(*) OVER () || '/' || clock_timestamp()), sha256('k'), sha256('n'),
                (SELECT request_id FROM requests LIMIT 1), 'many-' || n, {priority}, true, 2, {available_at}, now(), now()
         FROM generate_series({start}, {end}) n"
    );
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(on).await.unwrap();
}

/// How many rows the server has read so far to choose runs, in tables and indexes.
async fn rows_read(url: &str) -> i64 {
    let mut owner = PgConnection::connect(url).await.unwrap();
    let read = sqlx::query_scalar(
        "SELECT (SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_user_tables
                 WHERE relname IN ('runs', 'tenants', 'turns', 'wake_ups'))::bigint
              + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes
                 WHERE relname IN ('runs', 'tenants', 'turns', 'wake_ups'))::bigint",
    )
    .fetch_one(&mut owner)
    .await
    .unwrap();
    owner.close().await.unwrap();
    read
}

/// The rows that the server reads for this many claims of a worker, and how many of them found a run.
async fn cost(url: &str, claims: u32, tune: impl FnOnce(&mut LedgerSettings)) -> (i64, u32) {
    const SESSIONS: &str = "pg_stat_activity WHERE datname = current_database() AND application_name = 'model-factory'";
    let others = count(url, SESSIONS).await;
    let ledger = ledger_on(url, tune).await;
    let before = rows_read(url).await;
    let mut found = 0;
    for _ in 0..claims {
        found += u32::from(ledger.claim("w").await.unwrap().is_some());
    }
    // Postgres counts what a connection read when it ends, at the latest.
    ledger.close().await;
    eventually("the end of the connections", FROZEN, || async { (count(url, SESSIONS).await <= others).then_some(()) })
        .await;
    (rows_read(url).await - before, found)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_reads_no_more_rows_beside_ten_thousand_tenants() {
    const CLAIMS: u32 = 20;
    /// Rows that one claim may read. Under a bound it counts the running runs, of which there are up to 41.
    const FEW: i64 = 400;
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |_| {}).await;
    admit_one(&ledger, "pattern").await;
    claim(&ledger).await;
    let mut owner = PgConnection::connect(&url).await.unwrap();
    insert_runs(&mut owner, 0..10_000, 0, "now()").await;
    let (read, found) = cost(&url, CLAIMS, |_| {}).await;
    assert_eq!(found, CLAIMS);
    assert!(read < FEW * i64::from(CLAIMS), "{CLAIMS} claims read {read} rows");
    let (read, found) = cost(&url, CLAIMS, |settings| settings.max_running_per_tenant = 2).await;
    assert_eq!(found, CLAIMS);
    assert!(read < FEW * i64::from(CLAIMS), "{CLAIMS} claims within a bound read {read} rows");

    // The runs of all these tenants are paused, as while a store is away, and have the highest priority. The first claim
    // lets their turns rest; later ones do not look at them, once the server has flushed that and so knows it for good.
    sql(&url, &["UPDATE runs SET state = 'FAIL', reason_code = 'CANCELLED' WHERE state = 'QUEUED'"]).await;
    insert_runs(&mut owner, 0..10_000, 9, "now() + interval '1 hour'").await;
    eventually("idle claims that read few rows", FROZEN, || async {
        let (read, found) = cost(&url, CLAIMS, |_| {}).await;
        assert_eq!(found, 0);
        (read < FEW * i64::from(CLAIMS)).then_some(())
    })
    .await;
    bring_of(&ledger, "good", "req-good-0001").await;
    let since = Instant::now();
    assert_eq!(claim(&ledger).await.request.request_id, "req-good-0001");
    assert!(since.elapsed() < USUAL, "{:?}", since.elapsed());

    // A pause that is over, or that a person ends, is seen.
    sql(&url, &["UPDATE runs SET available_at = now() + interval '1 second' WHERE tenant = 'many-1' AND priority = 9"])
        .await;
    let paused = eventually("the end of a pause", FROZEN, || async { ledger.claim("w").await.unwrap() }).await;
    assert_eq!(count(&url, &format!("runs WHERE run_id = '{}' AND tenant = 'many-1'", paused.run_id)).await, 1);
    sql(&url, &["UPDATE runs SET available_at = now() WHERE tenant = 'many-2' AND priority = 9"]).await;
    assert!(ledger.claim("w").await.unwrap().is_some());
    assert!(ledger.claim("w").await.unwrap().is_none());
}

/// Lets a worker freeze in a claim: its connection falls silent while the server works on the claim's last statement.
/// The server's session stays in its transaction, with all locks.
async fn freeze_in_a_claim(url: &str, tune: impl FnOnce(&mut LedgerSettings)) {
    sql(
        url,
        &["CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS
               'BEGIN PERFORM pg_sleep(1); RETURN NULL; END';
           CREATE TRIGGER linger AFTER INSERT ON transitions FOR EACH ROW WHEN (NEW.worker = 'freezes')
               EXECUTE FUNCTION linger()"],
    )
    .await;
    let way = SilentWay::to(url::Url::parse(url).unwrap().port().unwrap()).await;
    let frozen = ledger_on(&way.url(url), tune).await;
    tokio::spawn(async move { frozen.claim("freezes").await.map(drop) });
    eventually("a claim at its last statement", FROZEN, || async {
        (count(url, "pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'").await == 1)
            .then_some(())
    })
    .await;
    way.forget_connections();
    eventually("a session that idles in its transaction", FROZEN, || async {
        (count(url, "pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'").await == 1)
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_freezes_in_a_claim_holds_up_no_other_claim() {
    for max_running_per_tenant in [0, 2] {
        let bounded = |settings: &mut LedgerSettings| settings.max_running_per_tenant = max_running_per_tenant;
        let url = fresh_database().await;
        let ledger = ledger_on(&url, bounded).await;
        for id in ["req-first-01", "req-first-02"] {
            bring_of(&ledger, "a-first", id).await;
        }
        bring_of(&ledger, "b-second", "req-second-1").await;
        bring_of(&ledger, "c-third", "req-third-01").await;
        freeze_in_a_claim(&url, bounded).await;
        let since = Instant::now();
        let mut others = Vec::new();
        for _ in 0..2 {
            others.push(claim(&ledger).await.request.request_id.clone());
        }
        assert!(since.elapsed() < USUAL, "{:?}", since.elapsed());
        assert_eq!(others, ["req-second-1", "req-third-01"]);
        // Without a bound, the tenant's own next run needs not wait either.
        if max_running_per_tenant == 0 {
            assert_eq!(claim(&ledger).await.request.request_id, "req-first-02");
        }
        // The server ends the frozen claim, and its attempt did not count.
        let mut left = 2 - i64::from(max_running_per_tenant == 0);
        eventually("the runs that the frozen claim had locked", FROZEN, || async {
            ledger.claim("w").await.unwrap().map(|lease| assert_eq!((lease.attempt, lease.fence), (1, 1)))
        })
        .await;
        left -= 1;
        while left > 0 {
            eventually("the tenant's other run", FROZEN, || async { ledger.claim("w").await.unwrap() }).await;
            left -= 1;
        }
        assert!(since.elapsed() < FROZEN, "{:?}", since.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_claim_under_a_bound_on_all_runs_lets_the_others_come_again_soon() {
    let bounded = |settings: &mut LedgerSettings| settings.max_running = 4;
    let url = fresh_database().await;
    let ledger = ledger_on(&url, bounded).await;
    bring_of(&ledger, "a-first", "req-first-01").await;
    bring_of(&ledger, "b-second", "req-second-1").await;
    freeze_in_a_claim(&url, bounded).await;
    let since = Instant::now();
    // No error, which would be a longer pause, and no long wait.
    assert!(ledger.claim("w").await.unwrap().is_none());
    assert!(since.elapsed() < USUAL, "{:?}", since.elapsed());
    for _ in 0..2 {
        eventually("a claim after the frozen one", FROZEN, || async { ledger.claim("w").await.unwrap() }).await;
    }
    assert!(since.elapsed() < FROZEN, "{:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wake_up_is_lost_to_a_claim_an_abort_or_a_frozen_admission() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |_| {}).await;
    bring_of(&ledger, "many-1", "req-pattern-1").await;
    let mut one = PgConnection::connect(&url).await.unwrap();
    let mut other = PgConnection::connect(&url).await.unwrap();
    let idle = async || assert!(ledger.claim("w").await.unwrap().is_none());

    // A run is inserted while its turn waits, and a claim finds the turn empty before the run is committed.
    sqlx::raw_sql("BEGIN").execute(&mut one).await.unwrap();
    insert_runs(&mut one, 1..2, 0, "now()").await;
    claim(&ledger).await;
    idle().await;
    sqlx::raw_sql("COMMIT").execute(&mut one).await.unwrap();
    claim(&ledger).await;
    idle().await;
    assert_eq!(count(&url, "turns WHERE NOT waiting").await, 1);

    // Two admissions see the same turn asleep; neither waits for the other, and the first one is rolled back.
    for connection in [&mut one, &mut other] {
        sqlx::raw_sql("BEGIN; SET LOCAL lock_timeout = '1s'").execute(&mut *connection).await.unwrap();
        insert_runs(connection, 1..2, 0, "now()").await;
    }
    idle().await;
    sqlx::raw_sql("ROLLBACK").execute(&mut one).await.unwrap();
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    claim(&ledger).await;
    idle().await;

    // The worker dies between its COMMIT and `rest_turn`, or right behind `take_turn`: both leave the turn waiting.
    insert_runs(&mut one, 1..3, 0, "now()").await;
    sqlx::raw_sql("SELECT take_turn(0)").execute(&mut one).await.unwrap();
    assert_eq!(count(&url, "turns WHERE waiting").await, 2);
    claim(&ledger).await;
    claim(&ledger).await;
    sql(&url, &["UPDATE turns SET waiting = true"]).await;
    idle().await;
    assert_eq!(count(&url, "turns WHERE waiting").await, 0);
    let mut worker = PgConnection::connect(&as_worker(&url)).await.unwrap();
    assert!(sqlx::raw_sql("INSERT INTO wake_ups VALUES ('', 0)").execute(&mut worker).await.is_err());
}
