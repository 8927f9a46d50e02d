//! What the database looks like, for whoever checks a set-up. Reads only.

use super::schema::MIGRATIONS;
use super::{Error, Ledger};
use chrono::{DateTime, Utc};
use sqlx::Row as _;

/// The database's schema beside this release's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaState {
    /// Nothing has been migrated.
    Missing,
    /// Of an older release, or one that lacks something in between; its version.
    Older(i64),
    /// This release's; its version.
    Current(i64),
    /// Of a newer release; its version.
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

    /// What it is, and what to do where it is not this release's.
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

/// What commits and crashes depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerState {
    /// Version as a number, 160004 for example.
    pub version: i32,
    /// A standby takes no writes.
    pub is_standby: bool,
    /// `synchronous_commit` of this role in this database.
    pub synchronous_commit: String,
    /// `fsync`.
    pub fsync: bool,
    /// `full_page_writes`.
    pub full_page_writes: bool,
}

/// What a worker's role needs, by table.
const NEEDED: [(&str, &[&str]); 11] = [
    ("tenants", &["SELECT", "INSERT", "UPDATE"]),
    ("runs", &["SELECT", "INSERT", "UPDATE"]),
    ("requests", &["SELECT", "INSERT", "UPDATE"]),
    ("inbox", &["SELECT", "INSERT"]),
    ("transitions", &["SELECT", "INSERT"]),
    ("acts", &["SELECT", "INSERT"]),
    ("registry_events", &["SELECT", "INSERT"]),
    ("audit_log", &["SELECT", "INSERT"]),
    ("outbox", &["SELECT", "INSERT", "UPDATE"]),
    ("lineage_outbox", &["SELECT", "INSERT", "UPDATE"]),
    ("relay_shards", &["SELECT", "UPDATE"]),
];

impl Ledger {
    /// Which schema is there.
    pub async fn schema_state(&self) -> Result<SchemaState, Error> {
        let applied = self.applied().await?;
        let known: Vec<i64> = MIGRATIONS.iter().map(|(version, ..)| *version).collect();
        Ok(SchemaState::of(&applied, &known))
    }

    /// The version of the schema that this release needs.
    pub fn needed_schema() -> i64 {
        MIGRATIONS.last().map_or(0, |(version, ..)| *version)
    }

    /// Settings of the server.
    pub async fn server_state(&self) -> Result<ServerState, Error> {
        let row = sqlx::query(
            "SELECT current_setting('server_version_num')::int, pg_is_in_recovery(), \
             current_setting('synchronous_commit'), current_setting('fsync')::bool, \
             current_setting('full_page_writes')::bool",
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(ServerState {
            version: row.try_get(0)?,
            is_standby: row.try_get(1)?,
            synchronous_commit: row.try_get(2)?,
            fsync: row.try_get(3)?,
            full_page_writes: row.try_get(4)?,
        })
    }

    /// The role, and the statements that grant what it lacks on tables that are there.
    pub async fn missing_rights(&self) -> Result<(String, Vec<String>), Error> {
        let role: String = sqlx::query("SELECT quote_ident(current_user)").fetch_one(&self.pool).await?.try_get(0)?;
        let needed = NEEDED.iter().flat_map(|(table, rights)| rights.iter().map(|right| (*table, *right)));
        let (tables, rights): (Vec<&str>, Vec<&str>) = needed.unzip();
        let rows = sqlx::query(
            "SELECT name, string_agg(privilege, ', ') FROM unnest($1::text[], $2::text[]) AS needed(name, privilege) \
             WHERE CASE WHEN to_regclass(name) IS NULL THEN false ELSE NOT has_any_column_privilege(name, privilege) END \
             GROUP BY name ORDER BY name",
        )
        .bind(tables)
        .bind(rights)
        .fetch_all(&self.pool)
        .await?;
        let mut statements = Vec::new();
        for row in rows {
            let (table, rights): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            statements.push(format!("GRANT {rights} ON {table} TO {role};"));
        }
        Ok((role, statements))
    }

    /// The database's clock.
    pub async fn clock(&self) -> Result<DateTime<Utc>, Error> {
        Ok(sqlx::query("SELECT clock_timestamp()").fetch_one(&self.pool).await?.try_get(0)?)
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
            // Without one in between: what is missing can still be applied.
            (&[1, 3], &[1, 2, 3], SchemaState::Older(3)),
        ] {
            assert_eq!(SchemaState::of(applied, known), expected);
        }
    }
}
