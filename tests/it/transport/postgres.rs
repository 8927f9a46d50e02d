//! TLS to Postgres: `hostssl` on the server, `verify-full` here.

use crate::support::{admit_one, eventually, fresh_database, ledger_on};
use model_factory::adapters::kafka::{KafkaSettings, MockBroker};
use model_factory::adapters::ledger::{Denial, Error, Ledger, LedgerSettings};
use model_factory::domain::contract::OwnershipBoundaries;
use model_factory::tools::dev::PrivatePostgres;
use model_factory::worker::relay::Relay;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinSet, block_in_place};

/// A server whose database `ledger` is reached over TLS only, by password.
struct TlsServer {
    folder: tempfile::TempDir,
    server: PrivatePostgres,
}

fn open_folder() -> tempfile::TempDir {
    let open = std::fs::Permissions::from_mode(0o755);
    tempfile::Builder::new().prefix("model-factory-tls-").permissions(open).tempdir().unwrap()
}

impl TlsServer {
    async fn start() -> Self {
        let folder = open_folder();
        let made = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/dev/certificates.sh"))
            .arg(folder.path().join("tls"))
            .status()
            .unwrap();
        assert!(made.success());
        let place = folder.path().join("postgres");
        let server = PrivatePostgres::start(&place).unwrap();
        run(&server.url("postgres"), "CREATE ROLE worker LOGIN PASSWORD 'secret'").await;
        run(&server.url("postgres"), "CREATE DATABASE ledger OWNER worker").await;
        let port = server.port();
        block_in_place(|| drop(server));
        let data = place.join("data");
        let rules = "host postgres postgres 127.0.0.1/32 trust\nhostssl ledger all 127.0.0.1/32 scram-sha-256\n";
        std::fs::write(data.join("pg_hba.conf"), rules).unwrap();
        std::fs::write(data.join("postgresql.auto.conf"), "ssl = on\n").unwrap();
        lay(folder.path(), "server");
        let server = block_in_place(|| PrivatePostgres::start_at(&place, port)).unwrap();
        Self { folder, server }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("tls").join(name)
    }

    /// By a name, which the certificate holds, and everything right.
    fn settings(&self) -> LedgerSettings {
        let password = self.folder.path().join("password");
        std::fs::write(&password, "secret\n").unwrap();
        LedgerSettings {
            url: format!("postgres://worker@localhost:{}/ledger?sslmode=verify-full", self.server.port()),
            password_file: Some(password),
            ca_file: Some(self.file("ca.pem")),
            max_connections: 2,
            ..LedgerSettings::default()
        }
    }
}

/// Certificate and key where the server looks for them, as its own user's.
fn lay(folder: &Path, certificate: &str) {
    let data = folder.join("postgres/data");
    let owner = std::fs::metadata(&data).unwrap();
    for (from, to) in [("pem", "server.crt"), ("key", "server.key")] {
        std::fs::copy(folder.join("tls").join(format!("{certificate}.{from}")), data.join(to)).unwrap();
        std::os::unix::fs::chown(data.join(to), Some(owner.uid()), Some(owner.gid())).unwrap();
        std::fs::set_permissions(data.join(to), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

async fn run(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn denied(settings: &LedgerSettings) -> Denial {
    match Ledger::connect(settings).await.err() {
        Some(Error::Denied(denial)) => denial,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_tls_is_verified_and_whatever_is_wrong_is_told_as_what_it_is() {
    let server = TlsServer::start().await;
    let good = server.settings();
    let ledger = Ledger::connect(&good).await.unwrap();
    ledger.migrate().await.unwrap();
    admit_one(&ledger, "over-tls").await;
    let sessions = "SELECT 1 / count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
                    WHERE s.ssl AND a.datname = 'ledger'";
    run(&server.server.url("postgres"), sessions).await;
    ledger.close().await;

    let another_authority = LedgerSettings { ca_file: Some(server.file("other-ca.pem")), ..good.clone() };
    assert_eq!(denied(&another_authority).await, Denial::Untrusted);
    let by_address = LedgerSettings { url: good.url.replace("localhost", "127.0.0.1"), ..good.clone() };
    let denial = denied(&by_address).await;
    assert!(matches!(denial, Denial::WrongName(_)), "{denial:?}");
    let in_the_clear = LedgerSettings { url: good.url.replace("verify-full", "disable"), ..good.clone() };
    let denial = denied(&in_the_clear).await;
    assert!(matches!(denial, Denial::NoRule(_)), "{denial:?}");
    let wrong = server.folder.path().join("wrong");
    std::fs::write(&wrong, "guessed").unwrap();
    let denial = denied(&LedgerSettings { password_file: Some(wrong), ..good.clone() }).await;
    assert!(matches!(denial, Denial::Credentials(_)), "{denial:?}");
    assert!(!denial.to_string().contains("guessed"));

    lay(server.folder.path(), "expired");
    run(&server.server.url("postgres"), "SELECT pg_reload_conf()").await;
    let denial = eventually("the expired certificate", Duration::from_secs(20), || async {
        match Ledger::connect(&good).await {
            Ok(ledger) => {
                ledger.close().await;
                None
            }
            Err(Error::Denied(denial)) => Some(denial),
            Err(other) => panic!("{other}"),
        }
    })
    .await;
    assert!(matches!(denial, Denial::Expired(_)), "{denial:?}");
}

#[tokio::test]
async fn a_server_without_tls_is_not_spoken_to_where_tls_is_asked_for() {
    let url = format!("{}?sslmode=verify-full", fresh_database().await);
    let settings = LedgerSettings { url, ..LedgerSettings::default() };
    assert_eq!(denied(&settings).await, Denial::NoTls);
}

/// As while it is restored, or is starting up: SQLSTATE 55000 and no word of a class that passes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_outlives_a_database_that_takes_no_connections_for_a_while() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |_| {}).await;
    let (server, name) = url.rsplit_once('/').unwrap();
    let admin = format!("{server}/postgres");
    let mut kafka = KafkaSettings::default();
    let broker = MockBroker::start(&kafka.topics, 1).unwrap();
    kafka.brokers = broker.brokers();
    let relay = Relay::new(&kafka, ledger.clone(), OwnershipBoundaries::shipped(), "relay".to_owned()).unwrap();
    let (stop, stopped) = watch::channel(false);
    let mut loops = JoinSet::new();
    loops.spawn(relay.run(stopped));
    let end_sessions = format!(
        "ALTER DATABASE {name} ALLOW_CONNECTIONS false;
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    );
    run(&admin, &end_sessions).await;
    let error = eventually("a refusal", Duration::from_secs(20), || async {
        ledger.ping().await.err().filter(|error| error.to_string().contains("not currently accepting"))
    })
    .await;
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");

    run(&admin, &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true")).await;
    eventually("an answer", Duration::from_secs(20), || async { ledger.ping().await.ok() }).await;
    admit_one(&ledger, "afterwards").await;
    eventually("a drained outbox", Duration::from_mins(1), || async {
        (ledger.counts().await.ok()?.outbox_unsent == 0).then_some(())
    })
    .await;
    stop.send_replace(true);
    loops.join_next().await.unwrap().unwrap().unwrap();
}
