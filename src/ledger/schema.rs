//! Migrations: numbered, embedded, never edited after release.

use super::{Fault, Ledger, SchemaState};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, Row, SqlSafeStr};
use std::borrow::Cow;

pub(super) const MIGRATIONS: [(i64, &str, &str); 5] = [
    (1, "ledger", include_str!("../../schemas/postgres/0001_ledger.sql")),
    (2, "quota", include_str!("../../schemas/postgres/0002_quota.sql")),
    (3, "prune", include_str!("../../schemas/postgres/0003_prune.sql")),
    (4, "publish_receipts", include_str!("../../schemas/postgres/0004_publish_receipts.sql")),
    (8, "console", include_str!("../../schemas/postgres/0008_console.sql")),
];

fn migrator() -> Migrator {
    let migrations = MIGRATIONS
        .iter()
        .map(|(version, name, sql)| {
            Migration::new(
                *version,
                Cow::Borrowed(*name),
                MigrationType::Simple,
                AssertSqlSafe(*sql).into_sql_str(),
                false,
            )
        })
        .collect();
    Migrator::with_migrations(migrations)
}

impl Ledger {
    /// Brings the database to this release's schema; says which migrations were applied. Safe to run
    /// again, and by several at once.
    pub async fn migrate(&self) -> Result<Vec<i64>, Fault> {
        let before = self.applied().await?;
        migrator().run(&self.pool).await.map_err(|error| Fault::Refused(error.to_string()))?;
        Ok(self.applied().await?.into_iter().filter(|version| !before.contains(version)).collect())
    }

    /// Refuses a database that is older or newer than this release.
    pub async fn check_schema(&self) -> Result<(), Fault> {
        match self.schema_state().await? {
            SchemaState::Current(_) => Ok(()),
            other => Err(Fault::Refused(other.advice())),
        }
    }

    pub(super) async fn applied(&self) -> Result<Vec<i64>, Fault> {
        let known: bool = sqlx::query("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
            .fetch_one(&self.pool)
            .await?
            .try_get(0)?;
        if !known {
            return Ok(Vec::new());
        }
        let rows = sqlx::query("SELECT version FROM _sqlx_migrations WHERE success ORDER BY version")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| row.try_get(0).map_err(Fault::from)).collect()
    }
}
