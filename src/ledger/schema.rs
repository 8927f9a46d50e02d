//! Migrations: numbered, embedded, never edited after release.

use super::{Fault, Ledger};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, Row, SqlSafeStr};
use std::borrow::Cow;

const MIGRATIONS: [(i64, &str, &str); 2] = [
    (1, "ledger", include_str!("../../schemas/postgres/0001_ledger.sql")),
    (3, "prune", include_str!("../../schemas/postgres/0003_prune.sql")),
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
        let known: Vec<i64> = MIGRATIONS.iter().map(|(version, ..)| *version).collect();
        match advice(&self.applied().await?, &known) {
            None => Ok(()),
            Some(advice) => Err(Fault::Refused(advice)),
        }
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

/// What stands between a database with these migrations and a release that knows those, and what to do.
fn advice(applied: &[i64], known: &[i64]) -> Option<String> {
    let newest = |versions: &[i64]| versions.last().map_or_else(|| "none".to_owned(), i64::to_string);
    let (is, needed) = (newest(applied), newest(known));
    if applied == known {
        return None;
    }
    let unknown = applied.iter().any(|version| !known.contains(version));
    Some(if applied.is_empty() {
        format!("the database has no schema, this release needs version {needed}: run `model-factory migrate`")
    } else if unknown {
        format!(
            "the database's schema is version {is}, newer than version {needed} that this release knows: start the release \
             that migrated it, or a newer one"
        )
    } else {
        format!(
            "the database's schema is version {is}, older than version {needed} that this release needs: run \
             `model-factory migrate` of this release"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_that_does_not_fit_says_which_and_what_to_do() {
        assert_eq!(advice(&[1, 3], &[1, 3]), None);
        for (applied, known, which, what) in [
            (&[][..], &[1, 3][..], "no schema", "model-factory migrate"),
            (&[1], &[1, 3], "version 1, older than version 3", "model-factory migrate"),
            (&[1, 3], &[1], "version 3, newer than version 1", "a newer one"),
            // A release between the two was never here.
            (&[1, 3], &[1, 2, 3], "older", "model-factory migrate"),
        ] {
            let advice = advice(applied, known).unwrap();
            assert!(advice.contains(which) && advice.contains(what), "{advice}");
        }
    }
}
