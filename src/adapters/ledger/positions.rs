//! The positions from which intake reads on, the incarnations of topics, and the ledger's identity.

use super::session::Session;
use super::transaction::Transaction;
use super::{Coordinates, Error, Ledger};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

/// What the ledger knows of a partition, in the topic's current incarnation.
#[derive(Debug, Clone, PartialEq, Eq, sqlx_macros::FromRow)]
pub struct Position {
    pub partition: i32,
    /// The offset after the last record that was decided or passed; `None` if nothing of the partition was read.
    pub next_offset: Option<i64>,
    /// The offset of the last record below the log's end that has an outcome; `None` if there is none.
    pub last_known: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Positions {
    /// The topic's current incarnation, counted from 1.
    pub incarnation: u32,
    /// Whether any partition of the topic was ever read.
    pub is_known: bool,
    pub partitions: Vec<Position>,
}

#[derive(Debug, Clone, PartialEq, Eq, sqlx_macros::FromRow)]
pub struct Incarnation {
    pub incarnation: i32,
    pub reason: String,
    pub since: DateTime<Utc>,
}

impl Coordinates {
    /// Returns the name that coordinates give to a topic's incarnation.
    pub fn incarnate(topic: &str, incarnation: u32) -> String {
        if incarnation == 1 { topic.to_owned() } else { format!("{topic}~{incarnation}") }
    }

    /// Returns the topic as Kafka knows it, and its incarnation.
    pub fn topic_and_incarnation(&self) -> (&str, u32) {
        let split = self.topic.rsplit_once('~');
        split.and_then(|(topic, number)| Some((topic, number.parse().ok()?))).unwrap_or((&self.topic, 1))
    }
}

impl Ledger {
    /// Returns the ledger's id. Copies and restored backups have the same one.
    pub async fn identity(&self) -> Result<String, Error> {
        Ok(sqlx::query_scalar("SELECT id::text FROM ledger_identity").fetch_one(&self.pool).await?)
    }

    /// Reads what the ledger knows of these partitions. `ends` has the end of each partition's log.
    pub async fn positions(&self, topic: &str, ends: &BTreeMap<i32, i64>) -> Result<Positions, Error> {
        let incarnation: i32 =
            sqlx::query_scalar("SELECT COALESCE(max(incarnation), 1) FROM incarnations WHERE topic = $1")
                .bind(topic)
                .fetch_one(&self.pool)
                .await?;
        let incarnation = incarnation as u32;
        let named = Coordinates::incarnate(topic, incarnation);
        // A worker of the release before writes no positions, only records.
        let partitions: Vec<Position> = sqlx::query_as(
            r#"SELECT c.partition, GREATEST(p.next_offset, decided.last + 1) AS next_offset, known.last AS last_known
               FROM UNNEST($2::integer[], $3::bigint[]) AS c (partition, log_end)
               LEFT JOIN positions p ON p.topic = $1 AND p.partition = c.partition
               CROSS JOIN LATERAL (SELECT max(i."offset") AS last FROM inbox i
                                   WHERE i.topic = $1 AND i.partition = c.partition) decided
               CROSS JOIN LATERAL (SELECT max(i."offset") AS last FROM inbox i
                                   WHERE i.topic = $1 AND i.partition = c.partition AND i."offset" < c.log_end) known"#,
        )
        .bind(&named)
        .bind(ends.keys().copied().collect::<Vec<_>>())
        .bind(ends.values().copied().collect::<Vec<_>>())
        .fetch_all(&self.pool)
        .await?;
        let is_known: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM positions WHERE topic = $1) OR EXISTS (SELECT FROM inbox WHERE topic = $1)",
        )
        .bind(topic)
        .fetch_one(&self.pool)
        .await?;
        Ok(Positions { incarnation, is_known, partitions })
    }

    /// Stores that these partitions were read up to these offsets. No position goes back.
    pub async fn pass(&self, topic: &str, incarnation: u32, next: &BTreeMap<i32, i64>) -> Result<(), Error> {
        if next.is_empty() {
            return Ok(());
        }
        let named = Coordinates::incarnate(topic, incarnation);
        let positions: BTreeMap<(&str, i32), i64> =
            next.iter().map(|(&at, &next)| ((named.as_str(), at), next)).collect();
        let mut connection = self.pool.acquire().await?;
        store(&mut connection, &positions).await
    }

    /// Begins the incarnation after `after`, and returns the current one: another worker may have begun it already.
    pub async fn begin_incarnation(&self, topic: &str, after: u32, reason: &str, worker: &str) -> Result<u32, Error> {
        sqlx::query(
            "INSERT INTO incarnations (topic, incarnation, reason, worker, since) VALUES ($1, $2, $3, $4, now())
             ON CONFLICT DO NOTHING",
        )
        .bind(topic)
        .bind(after as i32 + 1)
        .bind(reason)
        .bind(worker)
        .execute(&self.pool)
        .await?;
        let current: i32 = sqlx::query_scalar("SELECT max(incarnation) FROM incarnations WHERE topic = $1")
            .bind(topic)
            .fetch_one(&self.pool)
            .await?;
        Ok(current as u32)
    }

    /// Reads the incarnations of a topic that came after its first, newest first, at most ten.
    pub async fn incarnations(&self, topic: &str) -> Result<Vec<Incarnation>, Error> {
        Ok(sqlx::query_as(
            "SELECT incarnation, reason, since FROM incarnations WHERE topic = $1 ORDER BY incarnation DESC LIMIT 10",
        )
        .bind(topic)
        .fetch_all(&self.pool)
        .await?)
    }
}

impl Transaction<'_> {
    /// Stores the offsets after these records as the positions of their partitions.
    pub(super) async fn pass<'a>(&mut self, records: impl Iterator<Item = &'a Coordinates>) -> Result<(), Error> {
        let mut next: BTreeMap<(&str, i32), i64> = BTreeMap::new();
        for Coordinates { topic, partition, offset } in records {
            let at = next.entry((topic, *partition)).or_default();
            *at = (*at).max(offset + 1);
        }
        store(self.connection(), &next).await
    }
}

/// A statement that inserts positions. `$1` to `$3` are topics, partitions and offsets, one of each for a row.
macro_rules! insert_positions {
    ($on_conflict:literal) => {
        concat!(
            "INSERT INTO positions (topic, partition, next_offset, updated_at)
             SELECT n.topic, n.partition, n.next_offset, now()
             FROM UNNEST($1::text[], $2::integer[], $3::bigint[]) AS n (topic, partition, next_offset)
             ORDER BY n.topic, n.partition
             ON CONFLICT ",
            $on_conflict
        )
    };
}

/// Inserts rows for partitions that have none.
pub(super) async fn insert(connection: &mut Session, next: &BTreeMap<(&str, i32), i64>) -> Result<(), Error> {
    write(connection, insert_positions!("DO NOTHING"), next).await
}

async fn store(connection: &mut Session, next: &BTreeMap<(&str, i32), i64>) -> Result<(), Error> {
    let statement = insert_positions!(
        "(topic, partition)
         DO UPDATE SET next_offset = EXCLUDED.next_offset, updated_at = EXCLUDED.updated_at
         WHERE positions.next_offset < EXCLUDED.next_offset"
    );
    write(connection, statement, next).await
}

async fn write(
    connection: &mut Session,
    statement: &'static str,
    next: &BTreeMap<(&str, i32), i64>,
) -> Result<(), Error> {
    sqlx::query(statement)
        .bind(next.keys().map(|(topic, _)| *topic).collect::<Vec<_>>())
        .bind(next.keys().map(|(_, partition)| *partition).collect::<Vec<_>>())
        .bind(next.values().copied().collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_incarnation_has_a_name_of_its_own_and_people_see_the_topic() {
        for (topic, incarnation, named) in
            [("mf.requests.v0", 1, "mf.requests.v0"), ("mf.requests.v0", 12, "mf.requests.v0~12")]
        {
            assert_eq!(Coordinates::incarnate(topic, incarnation), named);
            let coordinates = Coordinates { topic: named.to_owned(), partition: 0, offset: 0 };
            assert_eq!(coordinates.topic_and_incarnation(), (topic, incarnation));
        }
    }
}
