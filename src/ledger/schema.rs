//! Migrations: numbered, embedded, never edited after release.

use super::{Fault, Ledger};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, Row, SqlSafeStr};
use std::borrow::Cow;

const MIGRATIONS: [(i64, &str, &str); 2] = [
    (1, "ledger", include_str!("../../schemas/postgres/0001_ledger.sql")),
    (2, "quota", include_str!("../../schemas/postgres/0002_quota.sql")),
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
        let applied = self.applied().await?;
        let known: Vec<i64> = MIGRATIONS.iter().map(|(version, ..)| *version).collect();
        if applied == known {
            return Ok(());
        }
        let list = |versions: &[i64]| match versions.last() {
            Some(version) => format!("at version {version}"),
            None => "empty".to_owned(),
        };
        Err(Fault::Refused(format!(
            "the database is {}, this release needs it {}; run `model-factory migrate` of the newer release",
            list(&applied),
            list(&known)
        )))
    }

    async fn applied(&self) -> Result<Vec<i64>, Fault> {
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
