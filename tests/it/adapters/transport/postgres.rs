//! TLS to Postgres: `hostssl` on the server, `verify-full` here.

use crate::support::{RunningRelay, admit_one, eventually, fresh_database, ledger_on, open_folder, outbox_sent, sql};
use model_factory::adapters::ledger::{Error, Ledger, LedgerSettings, PostgresDenial};
use model_factory::tools::dev::PrivatePostgres;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio::task::block_in_place;

/// A server that takes connections to its database `ledger` over TLS only, by password.
struct TlsServer {
    folder: tempfile::TempDir,
    server: PrivatePostgres,
}

impl TlsServer {
    async fn start() -> Self {
        let folder = open_folder();
        let made = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/dev/certificates.sh"))
            .arg(folder.path().join("tls"))
            .status()
            .unwrap();
        assert!(made.success());
        let state = folder.path().join("postgres");
        let server = PrivatePostgres::start(&state).unwrap();
        sql(&server.url("postgres"), &["CREATE ROLE worker LOGIN PASSWORD 'secret'"]).await;
        sql(&server.url("postgres"), &["CREATE DATABASE ledger OWNER worker"]).await;
        let port = server.port();
        block_in_place(|| drop(server));
        let data = state.join("data");
        let rules = "host postgres postgres 127.0.0.1/32 trust\nhostssl ledger all 127.0.0.1/32 scram-sha-256\n";
        std::fs::write(data.join("pg_hba.conf"), rules).unwrap();
        std::fs::write(data.join("postgresql.auto.conf"), "ssl = on\n").unwrap();
        install(folder.path(), "server");
        let server = block_in_place(|| PrivatePostgres::start_at(&state, port)).unwrap();
        Self { folder, server }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("tls").join(name)
    }

    /// Settings that are accepted: the URL has the name that the certificate holds.
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

/// Puts certificate and key where the server looks for them, owned by its user.
fn install(folder: &Path, certificate: &str) {
    let data = folder.join("postgres/data");
    let owner = std::fs::metadata(&data).unwrap();
    for (from, to) in [("pem", "server.crt"), ("key", "server.key")] {
        std::fs::copy(folder.join("tls").join(format!("{certificate}.{from}")), data.join(to)).unwrap();
        std::os::unix::fs::chown(data.join(to), Some(owner.uid()), Some(owner.gid())).unwrap();
        std::fs::set_permissions(data.join(to), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

async fn denied(settings: &LedgerSettings) -> PostgresDenial {
    match Ledger::connect(settings).await.err() {
        Some(Error::Denied(denial)) => denial,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_tls_is_verified_and_each_error_names_its_cause() {
    let server = TlsServer::start().await;
    let good = server.settings();
    let ledger = Ledger::connect(&good).await.unwrap();
    ledger.migrate().await.unwrap();
    admit_one(&ledger, "over-tls").await;
    let sessions = "SELECT 1 / count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
                    WHERE s.ssl AND a.datname = 'ledger'";
    sql(&server.server.url("postgres"), &[sessions]).await;
    ledger.close().await;

    let another_authority = LedgerSettings { ca_file: Some(server.file("other-ca.pem")), ..good.clone() };
    assert_eq!(denied(&another_authority).await, PostgresDenial::Untrusted);
    let by_address = LedgerSettings { url: good.url.replace("localhost", "127.0.0.1"), ..good.clone() };
    let denial = denied(&by_address).await;
    assert!(matches!(denial, PostgresDenial::WrongName(_)), "{denial:?}");
    let in_the_clear = LedgerSettings { url: good.url.replace("verify-full", "disable"), ..good.clone() };
    let denial = denied(&in_the_clear).await;
    assert!(matches!(denial, PostgresDenial::NoRule(_)), "{denial:?}");
    let wrong = server.folder.path().join("wrong");
    std::fs::write(&wrong, "guessed").unwrap();
    let denial = denied(&LedgerSettings { password_file: Some(wrong), ..good.clone() }).await;
    assert!(matches!(denial, PostgresDenial::Credentials(_)), "{denial:?}");
    assert!(!denial.to_string().contains("guessed"));

    install(server.folder.path(), "expired");
    sql(&server.server.url("postgres"), &["SELECT pg_reload_conf()"]).await;
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
    assert!(matches!(denial, PostgresDenial::Expired(_)), "{denial:?}");
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_required() {
    let url = format!("{}?sslmode=verify-full", fresh_database().await);
    let settings = LedgerSettings { url, ..LedgerSettings::default() };
    assert_eq!(denied(&settings).await, PostgresDenial::NoTls);
}

/// As while the server starts or a backup is restored: SQLSTATE 55000, which is in no class of passing errors.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_outlives_a_database_that_takes_no_connections_for_a_while() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |_| {}).await;
    let (server, name) = url.rsplit_once('/').unwrap();
    let admin = format!("{server}/postgres");
    let relay = RunningRelay::start(&ledger);
    let end_sessions = format!(
        "ALTER DATABASE {name} ALLOW_CONNECTIONS false;
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    );
    sql(&admin, &[&end_sessions]).await;
    let error = eventually("a refusal", Duration::from_secs(20), || async {
        ledger.ping().await.err().filter(|error| error.to_string().contains("not currently accepting"))
    })
    .await;
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");

    sql(&admin, &[&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true")]).await;
    eventually("a connection", Duration::from_secs(20), || async { ledger.ping().await.ok() }).await;
    admit_one(&ledger, "afterwards").await;
    outbox_sent(&ledger).await;
    relay.stop().await;
}
