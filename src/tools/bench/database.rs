//! A database for one benchmark, its cost counters, and the ceiling: how fast plain SQL inserts the same rows in
//! batches.

use super::measure::{Cost, Figures, Laps};
use crate::adapters::kafka;
use crate::adapters::ledger::{self, Ledger, LedgerSettings};
use crate::tools::dev::{PostgresError, PrivatePostgres};
use crate::worker::relay;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

/// Means "all rows". Small enough for Postgres' `LIMIT`.
pub(super) const ALL_ROWS: usize = usize::MAX >> 1;

#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error("the benchmark's database: {0}")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    #[error(transparent)]
    Kafka(#[from] kafka::Error),
    #[error(transparent)]
    Relay(#[from] relay::RelayError),
    #[error(transparent)]
    Intake(#[from] crate::worker::intake::IntakeError),
    #[error("the benchmark's training: {0}")]
    Training(String),
    #[error("the benchmark's folder: {0}")]
    Folder(#[from] std::io::Error),
    /// The work had another outcome than the one to be measured, so that its figures would be worthless.
    #[error("the benchmark went wrong: {0}")]
    Wrong(String),
}

/// A new, migrated database on a private server. Dropping this value stops the server.
pub struct BenchDatabase {
    url: String,
    _server: PrivatePostgres,
    _folder: tempfile::TempDir,
}

/// Counters of the database at one point in time.
struct CostCounters {
    commits: i64,
    wal_bytes: i64,
}

impl BenchDatabase {
    /// Starts a private Postgres that commits durably, and migrates it.
    pub async fn start() -> Result<Self, BenchError> {
        // If root starts the server, it runs as another user, who must be able to enter the folder.
        let folder = tempfile::Builder::new()
            .prefix("model-factory-bench-")
            .permissions(std::fs::Permissions::from_mode(0o755))
            .tempdir()?;
        let server = PrivatePostgres::start(&folder.path().join("postgres"))?;
        let database = Self { url: server.url("postgres"), _server: server, _folder: folder };
        let ledger = database.ledger().await?;
        ledger.migrate().await?;
        ledger.close().await;
        Ok(database)
    }

    /// Returns version and durability settings of the server, for the report.
    pub async fn describe(&self) -> Result<String, BenchError> {
        let mut connection = self.connect().await?;
        let (version, synchronous_commit, fsync): (String, String, String) = sqlx::query_as(
            "SELECT current_setting('server_version'), current_setting('synchronous_commit'), current_setting('fsync')",
        )
        .fetch_one(&mut connection)
        .await?;
        Ok(format!("Postgres {version}, synchronous_commit={synchronous_commit}, fsync={fsync}"))
    }

    pub(super) async fn ledger(&self) -> Result<Ledger, BenchError> {
        Ok(Ledger::connect(&LedgerSettings { url: self.url.clone(), ..LedgerSettings::default() }).await?)
    }

    async fn connect(&self) -> Result<PgConnection, BenchError> {
        Ok(PgConnection::connect(&self.url).await?)
    }

    /// Runs the work on its own ledger handle. Adds to the work's figures what it cost the database.
    pub(super) async fn costing<F>(&self, work: impl FnOnce(Ledger) -> F) -> Result<Figures, BenchError>
    where
        F: Future<Output = Result<Figures, BenchError>>,
    {
        let before = self.read().await?;
        let ledger = self.ledger().await?;
        let mut figures = work(ledger.clone()).await?;
        // Postgres counts a connection's transactions when the connection ends.
        ledger.close().await;
        let after = self.read().await?;
        let each = |count: i64| count as f64 / figures.count as f64;
        figures.cost = Some(Cost {
            commits: each(after.commits - before.commits),
            wal_bytes: each(after.wal_bytes - before.wal_bytes),
        });
        Ok(figures)
    }

    async fn read(&self) -> Result<CostCounters, BenchError> {
        /// Time for connections that have just ended to report their counters.
        const SETTLE: Duration = Duration::from_millis(300);
        tokio::time::sleep(SETTLE).await;
        let mut connection = self.connect().await?;
        let (commits, wal_bytes): (i64, i64) = sqlx::query_as(
            "SELECT xact_commit, pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint
             FROM pg_stat_database WHERE datname = current_database()",
        )
        .fetch_one(&mut connection)
        .await?;
        Ok(CostCounters { commits, wal_bytes })
    }

    /// Measures the ceiling. Inserts up to `most` rows of each table again by plain SQL, with `batch` rows of the first
    /// table per transaction. The copies have the same indexes and checks, but no foreign keys.
    pub(super) async fn ceiling(
        &self,
        tables: &[&str],
        unit: &'static str,
        batch: usize,
        most: usize,
    ) -> Result<Figures, BenchError> {
        let mut connection = self.connect().await?;
        run(&mut connection, "DROP SCHEMA IF EXISTS ceiling CASCADE").await?;
        run(&mut connection, "CREATE SCHEMA ceiling").await?;
        // Rows are fetched in batches, so that memory does not grow with their number. Fetching is not timed.
        let mut reader = self.connect().await?;
        run(&mut reader, "BEGIN").await?;
        let mut counts = Vec::new();
        for table in tables {
            let like = "INCLUDING ALL EXCLUDING GENERATED EXCLUDING IDENTITY";
            run(&mut connection, &format!("CREATE TABLE ceiling.{table} (LIKE public.{table} {like})")).await?;
            let count = format!("SELECT LEAST(count(*), {most}) FROM public.{table}");
            let count: i64 = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut reader).await?;
            counts.push(count as usize);
            let all = format!("SELECT t::text FROM public.{table} t ORDER BY ctid LIMIT {most}");
            run(&mut reader, &format!("DECLARE {table}_rows CURSOR FOR {all}")).await?;
        }
        let count = counts.first().copied().unwrap_or_default();
        let batches = count.div_ceil(batch);
        let mut laps = Laps::default();
        let before = self.read().await?;
        for _ in 0..batches {
            let mut parts: Vec<Vec<String>> = Vec::new();
            for (table, count) in tables.iter().zip(&counts) {
                let fetch = format!("FETCH {} FROM {table}_rows", count.div_ceil(batches));
                parts.push(sqlx::query_scalar(AssertSqlSafe(fetch)).fetch_all(&mut reader).await?);
            }
            laps.lap(async {
                let mut transaction = connection.begin().await?;
                for (table, part) in tables.iter().zip(&parts) {
                    let insert = format!(
                        "INSERT INTO ceiling.{table} SELECT (u.row).* FROM
                         (SELECT v::ceiling.{table} AS row FROM UNNEST($1::text[]) v OFFSET 0) u"
                    );
                    sqlx::query(AssertSqlSafe(insert)).bind(part).execute(&mut *transaction).await?;
                }
                transaction.commit().await
            })
            .await?;
        }
        run(&mut reader, "COMMIT").await?;
        let after = self.read().await?;
        run(&mut connection, "DROP SCHEMA ceiling CASCADE").await?;
        let name = format!("ceiling: plain SQL, {batch} a transaction");
        let mut figures = laps.figures(&name, unit, count as u64, &format!("batch of {batch}"));
        let wal_bytes = (after.wal_bytes - before.wal_bytes) as f64 / count as f64;
        figures.cost = Some(Cost { commits: batches as f64 / count as f64, wal_bytes });
        Ok(figures)
    }
}

async fn run(connection: &mut PgConnection, sql: &str) -> Result<(), BenchError> {
    sqlx::query(AssertSqlSafe(sql.to_owned())).execute(connection).await?;
    Ok(())
}
