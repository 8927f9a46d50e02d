//! The schema: what its constraints refuse, and the file that shows it to people.

use crate::support::{admit_one, fresh_database, ledger_on};
use model_factory::adapters::ledger::{Ledger, LedgerSettings};
use sqlx::{Connection as _, PgConnection};

#[tokio::test]
async fn the_database_refuses_a_row_that_cannot_be() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |_| {}).await;
    admit_one(&ledger, "a").await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    for impossible in [
        "UPDATE runs SET state = 'FAIL'",
        "UPDATE runs SET state = 'RUNNING'",
        "UPDATE runs SET state = 'PUBLISHED'",
        "UPDATE runs SET lease_owner = 'me'",
        "UPDATE runs SET execution_mode = 'FULL'",
        "UPDATE runs SET run_id = 'x'",
    ] {
        assert!(sqlx::query(impossible).execute(&mut connection).await.is_err(), "{impossible}");
    }
}

#[tokio::test]
async fn a_database_of_another_release_is_refused() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |_| {}).await;
    ledger.check_schema().await.unwrap();
    let owner = Ledger::connect(&LedgerSettings { url: url.clone(), ..LedgerSettings::default() }).await.unwrap();
    assert!(owner.migrate().await.unwrap().is_empty(), "a second time changes nothing");
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::query("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (999, 'newer', true, '', 0)")
        .execute(&mut connection)
        .await
        .unwrap();
    assert!(ledger.check_schema().await.unwrap_err().to_string().contains("999"));
}

/// `schema.sql` shows the schema after all migrations; `MODEL_FACTORY_BLESS=1` writes it.
#[tokio::test]
async fn the_schema_that_people_read_is_the_one_that_migrations_make() {
    let url = fresh_database().await;
    ledger_on(&url, |_| {}).await;
    let dump = std::process::Command::new(model_factory::tools::dev::binaries().unwrap().join("pg_dump"))
        .args(["--schema-only", "--no-owner", "--no-privileges", "--exclude-table=_sqlx_migrations"])
        .arg(&url)
        .output()
        .unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let noise = |line: &&str| ["--", "SET ", "\\", "SELECT pg_catalog."].iter().all(|start| !line.starts_with(start));
    let text = String::from_utf8(dump.stdout).unwrap();
    let mut shown = "-- What the migrations come to, for reading; a test keeps it true.\n".to_owned();
    for line in text.lines().filter(noise) {
        if !(line.is_empty() && shown.ends_with("\n\n")) {
            shown.push_str(line);
            shown.push('\n');
        }
    }
    let shown = format!("{}\n", shown.trim_end());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/postgres/schema.sql");
    if std::env::var_os("MODEL_FACTORY_BLESS").is_some() {
        std::fs::write(path, &shown).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), shown, "run the test with MODEL_FACTORY_BLESS=1");
}
