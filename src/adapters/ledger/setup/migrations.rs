//! Migrations of the schema. They are numbered, embedded in the program, and never edited after a release.

use crate::adapters::ledger::{Error, Ledger};
use crate::domain::contract::{ActKind, ActReason, ActSubject, Actor, ActorKind, AuditAct, Head};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr};

/// Version, name and SQL of each migration.
pub(super) const MIGRATIONS: [(i64, &str, &str); 17] = [
    (1, "ledger", include_str!("../../../../schemas/postgres/0001_ledger.sql")),
    (2, "quota", include_str!("../../../../schemas/postgres/0002_quota.sql")),
    (3, "prune", include_str!("../../../../schemas/postgres/0003_prune.sql")),
    (4, "publish_receipts", include_str!("../../../../schemas/postgres/0004_publish_receipts.sql")),
    (5, "audit_log", include_str!("../../../../schemas/postgres/0005_audit_log.sql")),
    (6, "lineage", include_str!("../../../../schemas/postgres/0006_lineage.sql")),
    (7, "metrics", include_str!("../../../../schemas/postgres/0007_metrics.sql")),
    (8, "console", include_str!("../../../../schemas/postgres/0008_console.sql")),
    (9, "records", include_str!("../../../../schemas/postgres/0009_records.sql")),
    (10, "relay", include_str!("../../../../schemas/postgres/0010_relay.sql")),
    (11, "turns", include_str!("../../../../schemas/postgres/0011_turns.sql")),
    (12, "positions", include_str!("../../../../schemas/postgres/0012_positions.sql")),
    (13, "patience", include_str!("../../../../schemas/postgres/0013_patience.sql")),
    (14, "outbox_indexes", include_str!("../../../../schemas/postgres/0014_outbox_indexes.sql")),
    (15, "request_keys", include_str!("../../../../schemas/postgres/0015_request_keys.sql")),
    (16, "log_integrity", include_str!("../../../../schemas/postgres/0016_log_integrity.sql")),
    (17, "evidence_at", include_str!("../../../../schemas/postgres/0017_evidence_at.sql")),
];

impl Ledger {
    /// Migrates the database to this release's schema. Returns the versions that were applied by this call. Several
    /// workers may call this at the same time.
    pub async fn migrate(&self) -> Result<Vec<i64>, Error> {
        let role: String = sqlx::query_scalar("SELECT current_user::text").fetch_one(&self.pool).await?;
        self.migrate_by(&role).await
    }

    /// Migrates like [`Self::migrate`]. The audit log names this operator.
    pub async fn migrate_by(&self, operator: &str) -> Result<Vec<i64>, Error> {
        let before = self.applied().await?;
        let migration = |(version, name, sql): (i64, &'static str, &'static str)| {
            Migration::new(version, name.into(), MigrationType::Simple, AssertSqlSafe(sql).into_sql_str(), false)
        };
        let migrator = Migrator::with_migrations(Vec::from(MIGRATIONS.map(migration)));
        migrator.run(self.pool.unbounded()).await.map_err(|error| Error::Refused(error.to_string()))?;
        let after = self.applied().await?;
        let new: Vec<i64> = after.iter().copied().filter(|version| !before.contains(version)).collect();
        // The log's first act lists all migrations so far. If a process died between migrating and appending this act,
        // the next caller appends it.
        let unlogged = if self.audit_head().await? == Head::start() { after } else { new.clone() };
        if !unlogged.is_empty() {
            let actor = Actor::new(ActorKind::Operator, operator);
            let mut act = AuditAct::new(ActKind::LedgerMigrated, actor, ActSubject::default());
            act.reason = Some(ActReason::said(&format!("the schema of release {}", env!("CARGO_PKG_VERSION"))));
            act.migrations = unlogged;
            self.append_acts(&format!("operator:{operator}"), vec![act]).await?;
        }
        Ok(new)
    }

    pub(super) async fn applied(&self) -> Result<Vec<i64>, Error> {
        let is_migrated: bool =
            sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL").fetch_one(&self.pool).await?;
        if !is_migrated {
            return Ok(Vec::new());
        }
        Ok(sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success ORDER BY version")
            .fetch_all(&self.pool)
            .await?)
    }
}
