//! Reads the database's schema version, settings, rights and clock, for a worker's start and for `doctor`. Never:
//! writes.

use super::migrations::MIGRATIONS;
use crate::adapters::ledger::{Error, Ledger};
use chrono::{DateTime, Utc};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaState {
    Missing,
    /// The schema is older than this release's, or lacks a migration in between. Holds the latest applied version.
    Older(i64),
    /// The schema is that of this release. Holds its version.
    Current(i64),
    /// The schema is newer than this release's. Holds the latest applied version.
    Newer(i64),
}

impl SchemaState {
    fn of(applied: &[i64], known: &[i64]) -> Self {
        match applied.last() {
            None => Self::Missing,
            Some(version) if applied == known => Self::Current(*version),
            Some(version) if applied.iter().all(|version| known.contains(version)) => Self::Older(*version),
            Some(version) => Self::Newer(*version),
        }
    }

    /// Says for people which version the schema has. If it is not this release's version, also says what to do.
    pub fn advice(self) -> String {
        let needed = Ledger::needed_schema();
        match self {
            Self::Missing => {
                format!("the database has no schema, this release needs version {needed}: run `model-factory migrate`")
            }
            Self::Older(version) => format!(
                "the database's schema is version {version}, older than version {needed} that this release needs: run \
                 `model-factory migrate` of this release"
            ),
            Self::Current(version) => format!("version {version}, as this release needs it"),
            Self::Newer(version) => format!(
                "the database's schema is version {version}, newer than version {needed} that this release knows: \
                 start the release that migrated it, or a newer one"
            ),
        }
    }
}

/// Settings of the server on which the durability of a commit depends.
#[derive(Debug, Clone, PartialEq, Eq, sqlx_macros::FromRow)]
pub struct ServerState {
    /// Version as a number, such as 160004.
    pub version: i32,
    /// Whether the server is a standby, which accepts no writes.
    pub is_standby: bool,
    /// Value of `synchronous_commit` for this role in this database.
    pub synchronous_commit: String,
    pub fsync: bool,
    pub full_page_writes: bool,
}

/// A table, and the rights on it that the role lacks, separated by commas.
#[derive(sqlx_macros::FromRow)]
struct LackingRights {
    name: String,
    rights: String,
}

/// The rights that a worker's role needs, for each table.
const NEEDED: [(&str, &[&str]); 19] = [
    ("tenants", &["SELECT", "INSERT", "UPDATE"]),
    ("turns", &["SELECT", "UPDATE"]),
    ("wake_ups", &["SELECT", "DELETE"]),
    ("runs", &["SELECT", "INSERT", "UPDATE"]),
    ("requests", &["SELECT", "INSERT", "UPDATE"]),
    ("commands", &["SELECT", "INSERT", "UPDATE"]),
    ("locks", &["SELECT", "INSERT", "UPDATE"]),
    ("inbox", &["SELECT", "INSERT"]),
    ("transitions", &["SELECT", "INSERT"]),
    ("acts", &["SELECT", "INSERT"]),
    ("registry_events", &["SELECT", "INSERT"]),
    ("audit_log", &["SELECT", "INSERT"]),
    ("outbox", &["SELECT", "INSERT", "UPDATE"]),
    ("lineage_outbox", &["SELECT", "INSERT", "UPDATE"]),
    ("relay_shards", &["SELECT", "UPDATE"]),
    ("relays", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("positions", &["SELECT", "INSERT", "UPDATE"]),
    ("incarnations", &["SELECT", "INSERT"]),
    ("ledger_identity", &["SELECT"]),
];

impl Ledger {
    pub async fn schema_state(&self) -> Result<SchemaState, Error> {
        let applied = self.applied().await?;
        let known: Vec<i64> = MIGRATIONS.iter().map(|(version, ..)| *version).collect();
        Ok(SchemaState::of(&applied, &known))
    }

    pub fn needed_schema() -> i64 {
        MIGRATIONS.last().map_or(0, |(version, ..)| *version)
    }

    pub async fn server_state(&self) -> Result<ServerState, Error> {
        Ok(sqlx::query_as(
            "SELECT current_setting('server_version_num')::int AS version, pg_is_in_recovery() AS is_standby, \
             current_setting('synchronous_commit') AS synchronous_commit, current_setting('fsync')::bool AS fsync, \
             current_setting('full_page_writes')::bool AS full_page_writes",
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Returns an error if the schema is older or newer than this release's.
    pub async fn check_schema(&self) -> Result<(), Error> {
        match self.schema_state().await? {
            SchemaState::Current(_) => Ok(()),
            other => Err(Error::Refused(other.advice())),
        }
    }

    /// Returns the role's name, and `GRANT` statements for the rights that it lacks on existing tables.
    pub async fn missing_rights(&self) -> Result<(String, Vec<String>), Error> {
        let role: String = sqlx::query_scalar("SELECT quote_ident(current_user)").fetch_one(&self.pool).await?;
        let needed = NEEDED.iter().flat_map(|(table, rights)| rights.iter().map(|right| (*table, *right)));
        let (tables, rights): (Vec<&str>, Vec<&str>) = needed.unzip();
        let lacking: Vec<LackingRights> = sqlx::query_as(
            "SELECT name, string_agg(privilege, ', ') AS rights FROM unnest($1::text[], $2::text[]) AS needed(name, privilege) \
             WHERE CASE WHEN to_regclass(name) IS NULL THEN false \
                        WHEN privilege = 'DELETE' THEN NOT has_table_privilege(name, privilege) \
                        ELSE NOT has_any_column_privilege(name, privilege) END \
             GROUP BY name ORDER BY name",
        )
        .bind(tables)
        .bind(rights)
        .fetch_all(&self.pool)
        .await?;
        let grant = |LackingRights { name, rights }: &LackingRights| format!("GRANT {rights} ON {name} TO {role};");
        let statements = lacking.iter().map(grant).collect();
        Ok((role, statements))
    }

    pub async fn clock(&self) -> Result<DateTime<Utc>, Error> {
        Ok(sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&self.pool).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_that_does_not_fit_is_told_apart() {
        for (applied, known, expected) in [
            (&[][..], &[1, 3][..], SchemaState::Missing),
            (&[1, 3], &[1, 3], SchemaState::Current(3)),
            (&[1], &[1, 3], SchemaState::Older(1)),
            (&[1, 3], &[1], SchemaState::Newer(3)),
            // Version 2 is missing in between. A migration can still apply it.
            (&[1, 3], &[1, 2, 3], SchemaState::Older(3)),
        ] {
            assert_eq!(SchemaState::of(applied, known), expected);
        }
    }
}
