//! deploy/postgres/roles.sql: what each role may not do. Every other test shows that a worker may do what it must: its
//! ledger connects as one.

use crate::support::{admit_one, as_role, as_worker, fresh_database, grant_roles, ledger_on};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

/// The SQLSTATE with which the server refuses a role's statement.
async fn refusal(url: &str, role: &str, sql: &str) -> Option<String> {
    let mut connection = PgConnection::connect(&as_role(url, role)).await.unwrap();
    let executed = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await;
    connection.close().await.unwrap();
    Some(executed.err()?.as_database_error()?.code()?.into_owned())
}

async fn ledger_with_a_run() -> String {
    let url = fresh_database().await;
    admit_one(&ledger_on(&url, |_| {}).await, "roles").await;
    url
}

const DENIED: &str = "42501";

#[tokio::test]
async fn a_worker_neither_deletes_nor_rewrites_what_is_settled_nor_changes_the_schema() {
    let url = ledger_with_a_run().await;
    for sql in [
        "DELETE FROM runs",
        "DELETE FROM requests",
        "DELETE FROM inbox",
        "DELETE FROM outbox",
        "DELETE FROM transitions",
        "DELETE FROM acts",
        "TRUNCATE runs CASCADE",
        "UPDATE inbox SET value = ''",
        "UPDATE transitions SET worker = 'another'",
        "UPDATE acts SET actor = 'another'",
        "UPDATE requests SET run_id = 'another'",
        "UPDATE outbox SET value = ''",
        "INSERT INTO relay_shards (shard) VALUES (3)",
        "INSERT INTO _sqlx_migrations VALUES (999, 'x', now(), true, '', 0)",
        "UPDATE _sqlx_migrations SET success = false",
        "ALTER TABLE runs ADD COLUMN x int",
        "DROP TABLE acts",
        "CREATE TABLE mine (x int)",
        "CREATE TEMPORARY TABLE mine (x int)",
        "CREATE ROLE mine",
        "GRANT DELETE ON runs TO model_factory_worker",
        "SET ROLE model_factory_migrate",
        "SELECT setval('outbox_id_seq', 1)",
    ] {
        let code = refusal(&url, "model_factory_worker", sql).await;
        // Postgres answers a grant without the right to it with a warning, and changes nothing.
        let expected = if sql.starts_with("GRANT") { None } else { Some(DENIED) };
        assert_eq!(code.as_deref(), expected, "{sql}");
    }
    assert_eq!(refusal(&url, "model_factory_worker", "DELETE FROM runs").await.as_deref(), Some(DENIED));
}

#[tokio::test]
async fn a_reader_reads_everything_and_writes_nothing() {
    let url = ledger_with_a_run().await;
    let mut owner = PgConnection::connect(&url).await.unwrap();
    let tables =
        sqlx::query("SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'")
            .fetch_all(&mut owner)
            .await
            .unwrap();
    assert!(tables.len() >= 10);
    for table in tables {
        let table: String = table.get(0);
        let (read, delete) = (format!("SELECT * FROM {table}"), format!("DELETE FROM {table}"));
        assert_eq!(refusal(&url, "model_factory_read", &read).await, None, "{table}");
        assert_eq!(refusal(&url, "model_factory_read", &delete).await.as_deref(), Some(DENIED), "{table}");
    }
    for sql in ["UPDATE runs SET priority = 9", "INSERT INTO tenants VALUES ('x')", "SELECT * FROM runs FOR UPDATE"] {
        assert_eq!(refusal(&url, "model_factory_read", sql).await.as_deref(), Some(DENIED), "{sql}");
    }
}

#[tokio::test]
async fn pruning_deletes_and_changes_nothing() {
    let url = ledger_with_a_run().await;
    assert_eq!(refusal(&url, "model_factory_prune", "DELETE FROM transitions WHERE false").await, None);
    for sql in ["UPDATE runs SET priority = 9", "INSERT INTO tenants VALUES ('x')", "DELETE FROM relay_shards"] {
        assert_eq!(refusal(&url, "model_factory_prune", sql).await.as_deref(), Some(DENIED), "{sql}");
    }
}

#[tokio::test]
async fn every_table_has_its_grants_stated_and_no_sequence_needs_any() {
    let url = ledger_with_a_run().await;
    // The script may run again.
    grant_roles(&url).await.unwrap();
    let mut owner = PgConnection::connect(&url).await.unwrap();
    let open = sqlx::query(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'S'
            AND (has_sequence_privilege('model_factory_worker', oid, 'USAGE, SELECT, UPDATE')
              OR has_sequence_privilege('model_factory_read', oid, 'USAGE, SELECT, UPDATE'))",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    assert!(open.is_empty());
    sqlx::raw_sql("CREATE TABLE unheard_of (x int)").execute(&mut owner).await.unwrap();
    let error = grant_roles(&url).await.unwrap_err().to_string();
    assert!(error.contains("unheard_of"), "{error}");
}

/// From an empty database, migrated by that role, to a worker that admits a request.
#[tokio::test]
async fn the_role_that_migrates_needs_no_administrator() {
    use model_factory::adapters::ledger::{Ledger, LedgerSettings};
    let url = fresh_database().await;
    grant_roles(&url).await.unwrap();
    let connect = |url: String| async move {
        Ledger::connect(&LedgerSettings { url, max_connections: 2, ..LedgerSettings::default() }).await.unwrap()
    };
    let migrating = connect(as_role(&url, "model_factory_migrate")).await;
    assert!(!migrating.migrate().await.unwrap().is_empty());
    migrating.close().await;
    grant_roles(&url).await.unwrap();
    let worker = connect(as_worker(&url)).await;
    worker.check_schema().await.unwrap();
    admit_one(&worker, "by-roles").await;
}
