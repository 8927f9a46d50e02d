//! The outbox from the relay's side: shards, what is unsent, what was acknowledged.

use super::advance::now;
use super::audit_log::Cause;
use super::lineage::mark_lineage;
use super::rows::{Additions, LockedRun, select_run, unreadable};
use super::types::{Coordinates, OutboxRow, Sent, Shard};
use super::{ConfirmedBy, Error, Ledger};
use crate::domain::contract::{Actor, ActorKind};
use crate::domain::run::OutboxKind;
use crate::failpoints::failpoint;
use crate::telemetry::metrics::{self, StaleWrite};

use crate::domain::run::{State, Transition};
use chrono::TimeDelta;
use serde_json::json;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

/// A relay that says nothing for this long loses its shards.
const SHARD_LEASE_SECONDS: f64 = 15.0;

impl Ledger {
    /// Takes shards that nobody holds and renews those of this relay; answers with all that it holds. A
    /// shard that changes hands gets a new fence.
    pub async fn take_shards(&self, relay: &str) -> Result<Vec<Shard>, Error> {
        let rows = sqlx::query(
            "UPDATE relay_shards s
             SET owner = $1, expires_at = clock_timestamp() + make_interval(secs => $2),
                 fence = CASE WHEN s.owner = $1 THEN s.fence ELSE s.fence + 1 END
             WHERE s.shard IN (SELECT f.shard FROM relay_shards f
                               WHERE f.owner = $1 OR f.owner IS NULL OR f.expires_at < clock_timestamp()
                               ORDER BY f.shard FOR UPDATE SKIP LOCKED)
             RETURNING s.shard, s.fence",
        )
        .bind(relay)
        .bind(SHARD_LEASE_SECONDS)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| Ok(Shard { shard: row.try_get(0)?, fence: row.try_get(1)? })).collect()
    }

    /// Gives the shards of this relay to whoever asks next.
    pub async fn release_shards(&self, relay: &str) -> Result<(), Error> {
        sqlx::query("UPDATE relay_shards SET owner = NULL, expires_at = NULL WHERE owner = $1")
            .bind(relay)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The first unsent record of each stream of these shards: sending the next one has to wait for its
    /// acknowledgement, which keeps every run in order. Of a dead letter whose original is larger than
    /// `max_value_bytes` only a reference is sent; the ledger keeps the bytes.
    pub async fn unsent(&self, shards: &[Shard], limit: i64, max_value_bytes: i64) -> Result<Vec<OutboxRow>, Error> {
        let rows = sqlx::query(
            r#"SELECT f.id, f.stream, f.shard, f.kind::text, f.key,
                      COALESCE(f.value, CASE WHEN length(i.value) <= $3 THEN i.value END), f.headers,
                      length(i.value)::bigint, f.source_topic, f.source_partition, f.source_offset
               FROM (SELECT DISTINCT ON (o.stream) o.* FROM outbox o
                     WHERE o.sent_at IS NULL AND o.withdrawn_at IS NULL AND o.shard = ANY($1) ORDER BY o.stream, o.id LIMIT $2) f
               LEFT JOIN inbox i ON i.topic = f.source_topic AND i.partition = f.source_partition
                                AND i."offset" = f.source_offset
               ORDER BY f.id"#,
        )
        .bind(shards.iter().map(|shard| shard.shard).collect::<Vec<_>>())
        .bind(limit)
        .bind(max_value_bytes)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(outbox_row).collect()
    }

    /// Marks acknowledged records as sent, each under the fence of its shard; says how many were. A
    /// publication that was acknowledged makes its run PUBLISHED in the same transaction, or has it wait for
    /// the registry; also one that was withdrawn while it was on its way: the broker's word counts.
    pub async fn mark_sent(&self, relay: &str, sent: &[Sent]) -> Result<usize, Error> {
        let (lineage, others): (Vec<&Sent>, Vec<&Sent>) = sent.iter().partition(|s| s.kind == OutboxKind::Lineage);
        let mut transaction = self.pool.begin().await?;
        let told = mark_lineage(&mut transaction, relay, &lineage).await?;
        let rows = over(
            "UPDATE outbox o SET sent_at = now(), sent_topic = m.topic, sent_partition = m.partition,
                                 sent_offset = m.position
             FROM UNNEST($1::bigint[], $2::smallint[], $3::bigint[], $4::text[], $5::integer[], $6::bigint[])
                  AS m (id, shard, fence, topic, partition, position)
             WHERE o.id = m.id AND o.sent_at IS NULL
               AND EXISTS (SELECT FROM relay_shards s WHERE s.shard = m.shard AND s.fence = m.fence AND s.owner = $7)
             RETURNING o.stream, o.kind::text, o.sent_topic, o.sent_partition, o.sent_offset,
                       EXTRACT(EPOCH FROM o.sent_at - o.created_at)::float8",
            relay,
            &others,
        )
        .fetch_all(&mut *transaction)
        .await?;
        let mut additions = self.additions();
        let mut marked = Vec::with_capacity(rows.len());
        for row in &rows {
            let kind = kind_of(row.try_get(1)?)?;
            if kind == OutboxKind::Publication {
                let at = (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
                self.acknowledge(&mut transaction, relay, row.try_get(0)?, at, &mut additions).await?;
            }
            marked.push((kind, row.try_get::<f64, _>(5)?));
        }
        additions.store(&mut transaction, relay).await?;
        failpoint("mark.taken")?;
        additions.commit(transaction, relay, Some("mark.committed")).await?;
        let told = told.into_iter().map(|delay| (OutboxKind::Lineage, delay));
        let marked: Vec<_> = marked.into_iter().chain(told).collect();
        metrics::STALE_WRITES.add(StaleWrite::MarkSent, (sent.len() - marked.len()) as u64);
        for (kind, delay) in &marked {
            metrics::EVENTS_SENT.count(*kind);
            metrics::RELAY_DELAY.observe((), *delay);
        }
        Ok(marked.len())
    }

    /// `PUBLISH_PENDING` → PUBLISHED, where nobody's word is missing any more. A run that stands elsewhere (it
    /// was published before, or a worker is verifying it once more) stays as it is: the record on the topic
    /// is the same announcement.
    async fn acknowledge(
        &self,
        connection: &mut PgConnection,
        relay: &str,
        run_id: &str,
        coordinates: (String, i32, i64),
        additions: &mut Additions,
    ) -> Result<(), Error> {
        let row = sqlx::query(select_run!("WHERE r.run_id = $1 FOR UPDATE OF r"))
            .bind(run_id)
            .fetch_one(&mut *connection)
            .await?;
        let mut run = LockedRun::read(&row)?;
        if run.state != State::PublishPending {
            return Ok(());
        }
        let at = now(connection).await?;
        let (topic, partition, offset) = &coordinates;
        let mut cause = Cause::of(Actor::new(ActorKind::Worker, relay));
        cause.subject.acknowledged_at = Some(format!("{topic}/{partition}/{offset}"));
        additions.cause = Some(cause);
        run.published = Some(coordinates);
        let awaits = self.publish.confirm == ConfirmedBy::Registry && run.confirmed_by.is_none();
        if !awaits {
            run.step(Transition::Publish, None, at, relay, additions)
                .map_err(|error| Error::Refused(error.to_string()))?;
        } else if !run.is_parked() {
            // Why it was not acknowledged earlier is over.
            run.reason = None;
            run.answer_due_at = Some(at + TimeDelta::seconds(i64::from(self.publish.registry_patience_seconds)));
        }
        run.store(connection, run.fence, None).await?;
        Ok(())
    }
}

/// A statement over acknowledged records: `$1` to `$6` are ids, shards, fences, topics, partitions and offsets, `$7` the
/// relay.
pub(super) fn over<'q>(
    statement: &'static str,
    relay: &'q str,
    sent: &[&'q Sent],
) -> sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments> {
    sqlx::query(statement)
        .bind(sent.iter().map(|s| s.id).collect::<Vec<_>>())
        .bind(sent.iter().map(|s| s.shard.shard).collect::<Vec<_>>())
        .bind(sent.iter().map(|s| s.shard.fence).collect::<Vec<_>>())
        .bind(sent.iter().map(|s| s.coordinates.topic.as_str()).collect::<Vec<_>>())
        .bind(sent.iter().map(|s| s.coordinates.partition).collect::<Vec<_>>())
        .bind(sent.iter().map(|s| s.coordinates.offset).collect::<Vec<_>>())
        .bind(relay)
}

pub(super) fn kind_of(text: &str) -> Result<OutboxKind, Error> {
    text.parse().map_err(|_| unreadable("outbox kind", text))
}

fn outbox_row(row: &PgRow) -> Result<OutboxRow, Error> {
    let mut headers = header_bytes(row.try_get(6)?)?;
    let kind = kind_of(row.try_get(3)?)?;
    let value = if let Some(value) = row.try_get(5)? {
        value
    } else {
        let source = Coordinates { topic: row.try_get(8)?, partition: row.try_get(9)?, offset: row.try_get(10)? };
        headers.push(("mf_value_ref".to_owned(), format!("ledger:{source}").into_bytes()));
        let reference = json!({"bytes": row.try_get::<i64, _>(7)?, "ref": format!("ledger:{source}")});
        reference.to_string().into_bytes()
    };
    Ok(OutboxRow {
        id: row.try_get(0)?,
        stream: row.try_get(1)?,
        shard: row.try_get(2)?,
        kind,
        key: row.try_get(4)?,
        value,
        headers,
    })
}

/// Headers as the ledger stores them.
pub(super) fn header_bytes(stored: serde_json::Value) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let headers: Vec<(String, String)> =
        serde_json::from_value(stored).map_err(|error| unreadable("header list", error))?;
    Ok(headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect())
}
