//! One private server a test process, one database a test.

use model_factory::dev::PrivatePostgres;
use model_factory::ledger::{Ledger, LedgerSettings};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

struct Server {
    url: Box<dyn Fn(&str) -> String + Send + Sync>,
}

/// Lives until the process ends; then the kernel ends the server with it.
static SERVER: LazyLock<Server> = LazyLock::new(|| {
    if let Ok(admin) = std::env::var("MODEL_FACTORY_TEST_POSTGRES") {
        let base = admin.rsplit_once('/').map_or(admin.clone(), |(base, _)| base.to_owned());
        return Server { url: Box::new(move |database| format!("{base}/{database}")) };
    }
    let folder = tempfile::Builder::new()
        .prefix("model-factory-it-")
        .permissions(std::fs::Permissions::from_mode(0o755))
        .tempdir()
        .unwrap()
        .keep();
    let server = PrivatePostgres::start(&folder.join("postgres")).unwrap();
    Server { url: Box::new(move |database| server.url(database)) }
});

/// URL of a new, empty database.
pub async fn fresh_database() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("t{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let mut admin = PgConnection::connect(&(SERVER.url)("postgres")).await.unwrap();
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut admin).await.unwrap();
    admin.close().await.unwrap();
    (SERVER.url)(&name)
}

/// A migrated ledger on a new database, with settings changed by `tune`.
pub async fn ledger_on(url: &str, tune: impl FnOnce(&mut LedgerSettings)) -> Ledger {
    let mut settings = LedgerSettings { url: url.to_owned(), max_connections: 4, ..LedgerSettings::default() };
    tune(&mut settings);
    let ledger = Ledger::connect(&settings).await.unwrap();
    ledger.migrate().await.unwrap();
    ledger
}
