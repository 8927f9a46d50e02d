//! Migrations: numbered, embedded, never edited after release.

use super::{Error, Ledger, SchemaState};
use crate::domain::contract::{ActKind, ActReason, ActSubject, Actor, ActorKind, AuditAct, Head};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, Row, SqlSafeStr};
use std::borrow::Cow;

pub(super) const MIGRATIONS: [(i64, &str, &str); 8] = [
    (1, "ledger", include_str!("../../../schemas/postgres/0001_ledger.sql")),
    (2, "quota", include_str!("../../../schemas/postgres/0002_quota.sql")),
    (3, "prune", include_str!("../../../schemas/postgres/0003_prune.sql")),
    (4, "publish_receipts", include_str!("../../../schemas/postgres/0004_publish_receipts.sql")),
    (5, "audit_log", include_str!("../../../schemas/postgres/0005_audit_log.sql")),
    (6, "lineage", include_str!("../../../schemas/postgres/0006_lineage.sql")),
    (7, "metrics", include_str!("../../../schemas/postgres/0007_metrics.sql")),
    (8, "console", include_str!("../../../schemas/postgres/0008_console.sql")),
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
    pub async fn migrate(&self) -> Result<Vec<i64>, Error> {
        let role: String = sqlx::query("SELECT current_user::text").fetch_one(&self.pool).await?.try_get(0)?;
        self.migrate_by(&role).await
    }

    /// The same, told as the act of this operator.
    pub async fn migrate_by(&self, operator: &str) -> Result<Vec<i64>, Error> {
        let before = self.applied().await?;
        migrator().run(&self.pool).await.map_err(|error| Error::Refused(error.to_string()))?;
        let after = self.applied().await?;
        let new: Vec<i64> = after.iter().copied().filter(|version| !before.contains(version)).collect();
        // The log begins with what was there; told late, where the one who applied it died before.
        let told = if self.audit_head().await? == Head::start() { after } else { new.clone() };
        if !told.is_empty() {
            let actor = Actor::new(ActorKind::Operator, operator);
            let mut act = AuditAct::new(ActKind::LedgerMigrated, actor, ActSubject::default());
            act.reason = Some(ActReason::said(&format!("the schema of release {}", env!("CARGO_PKG_VERSION"))));
            act.migrations = told;
            self.tell(&format!("operator:{operator}"), &[act]).await?;
        }
        Ok(new)
    }

    /// Refuses a database that is older or newer than this release.
    pub async fn check_schema(&self) -> Result<(), Error> {
        match self.schema_state().await? {
            SchemaState::Current(_) => Ok(()),
            other => Err(Error::Refused(other.advice())),
        }
    }

    pub(super) async fn applied(&self) -> Result<Vec<i64>, Error> {
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
        rows.iter().map(|row| row.try_get(0).map_err(Error::from)).collect()
    }
}
