//! One private server a test process, one database a test. The database's owner migrates; workers are
//! connected as a role that may do no more than deploy/postgres/roles.sql says.

use model_factory::adapters::ledger::{Ledger, LedgerSettings};
use model_factory::tools::dev::PrivatePostgres;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
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

/// The same database, as a worker reaches it.
pub fn as_worker(url: &str) -> String {
    as_role(url, "model_factory_worker")
}

/// The same database as another role, which has the owner's password where the server wants one.
pub fn as_role(url: &str, role: &str) -> String {
    let mut url = url::Url::parse(url).unwrap();
    url.set_username(role).unwrap();
    url.into()
}

/// Makes the roles, and gives them what they may have in this database.
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

/// A ledger on this database as a worker's, migrated by the owner, with settings changed by `tune`.
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

/// These statements, one after the other, as the database's owner.
pub async fn sql(url: &str, statements: &[&str]) {
    let mut owner = PgConnection::connect(url).await.unwrap();
    for statement in statements {
        sqlx::raw_sql(AssertSqlSafe((*statement).to_owned())).execute(&mut owner).await.unwrap();
    }
    owner.close().await.unwrap();
}

/// How many rows there are of this.
pub async fn count(url: &str, what: &str) -> i64 {
    let mut owner = PgConnection::connect(url).await.unwrap();
    let statement = AssertSqlSafe(format!("SELECT count(*) FROM {what}"));
    let count = sqlx::query(statement).fetch_one(&mut owner).await.unwrap().get(0);
    owner.close().await.unwrap();
    count
}
