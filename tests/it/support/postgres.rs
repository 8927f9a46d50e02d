//! One private server for each test process, one database for each test. The database's owner migrates; workers
//! connect as a role that may do no more than deploy/postgres/roles.sql says.

use super::{BOUND, eventually};
use model_factory::adapters::ledger::{Ledger, LedgerSettings};
use model_factory::tools::dev::PrivatePostgres;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::task::block_in_place;

struct Server {
    url: Box<dyn Fn(&str) -> String + Send + Sync>,
}

/// Runs as long as the test process: the kernel ends both together.
static SERVER: LazyLock<Server> = LazyLock::new(|| {
    if let Ok(admin) = std::env::var("MODEL_FACTORY_TEST_POSTGRES") {
        let base = admin.rsplit_once('/').map_or(admin.clone(), |(base, _)| base.to_owned());
        return Server { url: Box::new(move |database| format!("{base}/{database}")) };
    }
    let server = PrivatePostgres::start(&open_folder().keep().join("postgres")).unwrap();
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

/// URL of a new database that is a copy of this one as it is now, as a restored backup would be. Nobody may be connected
/// to this one.
pub async fn copied_database(url: &str) -> String {
    let copy = fresh_database().await;
    let name = |url: &str| url::Url::parse(url).unwrap().path().trim_start_matches('/').to_owned();
    let (from, to) = (name(url), name(&copy));
    let mut admin = PgConnection::connect(&(SERVER.url)("postgres")).await.unwrap();
    for statement in [
        format!("DROP DATABASE {to}"),
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{from}'"),
        format!("CREATE DATABASE {to} TEMPLATE {from}"),
    ] {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut admin).await.unwrap();
    }
    admin.close().await.unwrap();
    grant_roles(&copy).await.unwrap();
    copy
}

/// The same database as a worker connects to it.
pub fn as_worker(url: &str) -> String {
    as_role(url, "model_factory_worker")
}

/// The same database as another role, with the owner's password where the URL has one.
pub fn as_role(url: &str, role: &str) -> String {
    let mut url = url::Url::parse(url).unwrap();
    url.set_username(role).unwrap();
    url.into()
}

/// Runs deploy/postgres/roles.sql, which may run again.
pub async fn grant_roles(url: &str) -> Result<(), sqlx::Error> {
    let mut owner = PgConnection::connect(url).await?;
    sqlx::raw_sql(include_str!("../../../deploy/postgres/roles.sql")).execute(&mut owner).await?;
    let password = url::Url::parse(url).ok().and_then(|url| url.password().map(str::to_owned));
    if let Some(password) = password {
        let sql = format!("ALTER ROLE model_factory_worker PASSWORD '{password}'");
        sqlx::query(AssertSqlSafe(sql)).execute(&mut owner).await?;
    }
    owner.close().await
}

/// A worker's ledger on this database, which the owner migrates where needed; `tune` changes the settings.
pub async fn ledger_on(url: &str, tune: impl FnOnce(&mut LedgerSettings)) -> Ledger {
    let mut settings = LedgerSettings { url: url.to_owned(), max_connections: 4, ..LedgerSettings::default() };
    tune(&mut settings);
    let owner = Ledger::connect(&settings).await.unwrap();
    let applied = owner.migrate().await.unwrap();
    owner.close().await;
    if !applied.is_empty() {
        grant_roles(url).await.unwrap();
    }
    Ledger::connect(&LedgerSettings { url: as_worker(url), ..settings }).await.unwrap()
}

/// Runs these statements one after the other as the database's owner.
pub async fn sql(url: &str, statements: &[&str]) {
    let mut owner = PgConnection::connect(url).await.unwrap();
    for statement in statements {
        sqlx::raw_sql(AssertSqlSafe((*statement).to_owned())).execute(&mut owner).await.unwrap();
    }
    owner.close().await.unwrap();
}

/// `SELECT count(*) FROM` this.
pub async fn count(url: &str, what: &str) -> i64 {
    let mut owner = PgConnection::connect(url).await.unwrap();
    let statement = AssertSqlSafe(format!("SELECT count(*) FROM {what}"));
    let count = sqlx::query(statement).fetch_one(&mut owner).await.unwrap().get(0);
    owner.close().await.unwrap();
    count
}

/// The pauses after which runs are tried again, and receipts written, are over.
pub async fn end_backoff(url: &str) {
    sql(url, &["UPDATE runs SET available_at = now()"]).await;
}

/// Waits until every row of the outbox is sent.
pub async fn outbox_sent(ledger: &Ledger) {
    eventually("an empty outbox", BOUND, || async { (ledger.counts().await.ok()?.outbox_unsent == 0).then_some(()) })
        .await;
}

/// A server of a test's own, which can go away and come back; it listens on the same port.
pub struct OwnPostgres {
    folder: tempfile::TempDir,
    server: Option<PrivatePostgres>,
    port: u16,
}

impl OwnPostgres {
    pub fn start() -> Self {
        let folder = open_folder();
        let server = PrivatePostgres::start(&folder.path().join("postgres")).unwrap();
        Self { port: server.port(), server: Some(server), folder }
    }

    pub fn url(&self) -> String {
        self.server.as_ref().unwrap().url("postgres")
    }

    pub fn go_away(&mut self) {
        block_in_place(|| drop(self.server.take()));
    }

    pub fn come_back(&mut self) {
        let folder = self.folder.path().join("postgres");
        self.server = Some(block_in_place(|| PrivatePostgres::start_at(&folder, self.port)).unwrap());
    }
}

/// A folder that a server which runs as another user may enter.
pub fn open_folder() -> tempfile::TempDir {
    let open = std::fs::Permissions::from_mode(0o755);
    tempfile::Builder::new().prefix("model-factory-it-").permissions(open).tempdir().unwrap()
}
