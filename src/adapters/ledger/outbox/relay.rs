//! What the relay does with the outbox: takes shards, reads unsent records, marks acknowledged ones.

use super::draft::StoredHeaders;
use super::{OutboxRow, Sent, Shard};
use crate::adapters::ledger::effects::Cause;
use crate::adapters::ledger::transaction::Transaction;
use crate::adapters::ledger::{ConfirmedBy, Coordinates, Error, Ledger};
use crate::domain::contract::{Actor, ActorKind, CutRecord};
use crate::domain::harmless::line;
use crate::domain::run::{OutboxKind, State, Transition};
use crate::telemetry::metrics::{self, StaleWrite};
use chrono::TimeDelta;
use serde_json::json;

/// Upper bound on the beginning of an original that its dead letter quotes, escaped, in bytes.
const BEGINNING_CAP: usize = 4 * CutRecord::KEPT_BYTES;

/// A relay that has not renewed its shards for this many seconds loses them.
const SHARD_LEASE_SECONDS: f64 = 15.0;

/// The statement that marks rows as sent: `$1` to `$6` are ids, shards, fences, topics, partitions, offsets; `$7` is
/// the relay.
macro_rules! mark_rows {
    ($table:literal, $stream_and_kind:literal) => {
        concat!(
            "UPDATE ",
            $table,
            " o SET sent_at = now(), sent_topic = m.topic, sent_partition = m.partition, sent_offset = m.position
             FROM UNNEST($1::bigint[], $2::smallint[], $3::bigint[], $4::text[], $5::integer[], $6::bigint[])
                  AS m (id, shard, fence, topic, partition, position)
             WHERE o.id = m.id AND o.sent_at IS NULL
               AND EXISTS (SELECT FROM relay_shards s WHERE s.shard = m.shard AND s.fence = m.fence AND s.owner = $7)
             RETURNING ",
            $stream_and_kind,
            r#", o.sent_topic AS topic, o.sent_partition AS partition, o.sent_offset AS "offset",
                EXTRACT(EPOCH FROM o.sent_at - o.created_at)::float8 AS delay"#
        )
    };
}

impl Ledger {
    /// Takes shards that nobody holds, each under a new fence, renews those of this relay, and returns all that the
    /// relay holds.
    pub async fn take_shards(&self, relay: &str) -> Result<Vec<Shard>, Error> {
        Ok(sqlx::query_as(
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
        .await?)
    }

    pub async fn release_shards(&self, relay: &str) -> Result<(), Error> {
        sqlx::query("UPDATE relay_shards SET owner = NULL, expires_at = NULL WHERE owner = $1")
            .bind(relay)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Reads the first unsent record of each stream of these shards, up to `limit`. The next record of a stream waits
    /// until the first is acknowledged, so that every run stays in order. If a dead letter's original is larger than
    /// `max_value_bytes`, its value is only a reference to the ledger, which keeps the bytes; if the ledger keeps only
    /// the original's beginning, a reference to the request topic.
    pub async fn unsent(&self, shards: &[Shard], limit: i64, max_value_bytes: i64) -> Result<Vec<OutboxRow>, Error> {
        let rows: Vec<UnsentRow> = sqlx::query_as(
            r#"SELECT f.id, f.stream, f.shard, f.kind::text, f.key,
                      COALESCE(f.value, CASE WHEN i.value_bytes IS NULL AND length(i.value) <= $3 THEN i.value END)
                          AS value,
                      f.headers, COALESCE(i.value_bytes, length(i.value))::bigint AS bytes,
                      CASE WHEN i.value_bytes IS NOT NULL THEN i.value END AS beginning,
                      CASE WHEN i.value_bytes IS NULL THEN 'ledger:' ELSE 'kafka:' END
                          || f.source_topic || '/' || f.source_partition || '/' || f.source_offset AS value_ref
               FROM (SELECT DISTINCT ON (o.stream) o.* FROM outbox o
                     WHERE o.sent_at IS NULL AND o.withdrawn_at IS NULL AND o.shard = ANY($1)
                     ORDER BY o.stream, o.id LIMIT $2) f
               LEFT JOIN inbox i ON i.topic = f.source_topic AND i.partition = f.source_partition
                                AND i."offset" = f.source_offset
               ORDER BY f.id"#,
        )
        .bind(shards.iter().map(|shard| shard.shard).collect::<Vec<_>>())
        .bind(limit)
        .bind(max_value_bytes)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(UnsentRow::record).collect())
    }

    /// Reads the first unsent lineage event of each run of these shards, up to `limit`.
    pub async fn unsent_lineage(&self, shards: &[Shard], limit: i64) -> Result<Vec<OutboxRow>, Error> {
        let rows: Vec<UnsentRow> = sqlx::query_as(
            "SELECT DISTINCT ON (o.run_id) o.id, o.run_id AS stream, o.shard, 'LINEAGE' AS kind, o.key, o.value,
                    o.headers, NULL::bigint AS bytes, NULL::bytea AS beginning, NULL::text AS value_ref FROM lineage_outbox o
             WHERE o.sent_at IS NULL AND o.shard = ANY($1) ORDER BY o.run_id, o.id LIMIT $2",
        )
        .bind(shards.iter().map(|shard| shard.shard).collect::<Vec<_>>())
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(UnsentRow::record).collect())
    }

    /// Marks acknowledged records as sent, each under the fence of its shard, and returns how many were marked. An
    /// acknowledged publication makes its run PUBLISHED in the same transaction, or lets it wait for the registry, even
    /// if the publication was withdrawn while it was on its way: the broker has the record.
    pub async fn mark_sent(&self, relay: &str, sent: &[Sent]) -> Result<usize, Error> {
        let (lineage, others): (Vec<&Sent>, Vec<&Sent>) = sent.iter().partition(|s| s.kind == OutboxKind::Lineage);
        let mut transaction = self.begin(relay).await?;
        let mut marked =
            transaction.mark(&lineage, mark_rows!("lineage_outbox", "o.run_id AS stream, 'LINEAGE' AS kind")).await?;
        marked.extend(transaction.mark(&others, mark_rows!("outbox", "o.stream, o.kind::text")).await?);
        // Runs are locked in ascending order of their ids, as an admission locks them.
        marked.sort_by(|one, other| one.stream.cmp(&other.stream));
        for MarkedRow { stream, sent_to, .. } in marked.iter().filter(|row| row.kind == OutboxKind::Publication) {
            transaction.acknowledge(stream, sent_to).await?;
        }
        transaction.commit(Some("mark.taken"), Some("mark.committed")).await?;
        metrics::STALE_WRITES.add(StaleWrite::MarkSent, (sent.len() - marked.len()) as u64);
        for row in &marked {
            metrics::EVENTS_SENT.count(row.kind);
            metrics::RELAY_DELAY.observe((), row.delay);
        }
        Ok(marked.len())
    }
}

#[derive(sqlx_macros::FromRow)]
struct UnsentRow {
    id: i64,
    stream: String,
    shard: i16,
    kind: OutboxKind,
    key: Option<Vec<u8>>,
    /// `None` if the value is a dead letter's original that is too large to send.
    value: Option<Vec<u8>>,
    #[sqlx(json)]
    headers: StoredHeaders,
    bytes: Option<i64>,
    /// Beginning of a dead letter's original, if the ledger does not keep all of it.
    beginning: Option<Vec<u8>>,
    /// Reference to a dead letter's original, in the inbox or on the request topic; `None` for other records.
    value_ref: Option<String>,
}

impl UnsentRow {
    fn record(self) -> OutboxRow {
        let Self { id, stream, shard, kind, key, value, headers, bytes, beginning, value_ref } = self;
        let mut headers: Vec<_> = headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect();
        let value = value.unwrap_or_else(|| {
            let reference = value_ref.unwrap_or_default();
            headers.push(("mf_value_ref".to_owned(), reference.clone().into_bytes()));
            let mut value = json!({"bytes": bytes, "ref": reference});
            if let Some(beginning) = beginning {
                value["beginning"] = line(&String::from_utf8_lossy(&beginning), BEGINNING_CAP).into();
            }
            value.to_string().into_bytes()
        });
        OutboxRow { id, stream, shard, kind, key, value, headers }
    }
}

#[derive(sqlx_macros::FromRow)]
struct MarkedRow {
    stream: String,
    kind: OutboxKind,
    #[sqlx(flatten)]
    sent_to: Coordinates,
    /// Seconds between insert and mark.
    delay: f64,
}

impl Transaction<'_> {
    async fn mark(&mut self, sent: &[&Sent], statement: &'static str) -> Result<Vec<MarkedRow>, Error> {
        if sent.is_empty() {
            return Ok(Vec::new());
        }
        Ok(sqlx::query_as(statement)
            .bind(sent.iter().map(|s| s.id).collect::<Vec<_>>())
            .bind(sent.iter().map(|s| s.shard.shard).collect::<Vec<_>>())
            .bind(sent.iter().map(|s| s.shard.fence).collect::<Vec<_>>())
            .bind(sent.iter().map(|s| s.coordinates.topic.as_str()).collect::<Vec<_>>())
            .bind(sent.iter().map(|s| s.coordinates.partition).collect::<Vec<_>>())
            .bind(sent.iter().map(|s| s.coordinates.offset).collect::<Vec<_>>())
            .bind(self.worker)
            .fetch_all(self.connection())
            .await?)
    }

    /// Takes the step `PUBLISH_PENDING` → PUBLISHED unless the registry still has to confirm. A run in another state
    /// (already published, or verified again by a worker) stays as it is: the record on the topic is the same
    /// announcement.
    async fn acknowledge(&mut self, run_id: &str, published: &Coordinates) -> Result<(), Error> {
        let mut run = self.lock_named(run_id).await?;
        if run.state != State::PublishPending {
            return Ok(());
        }
        let mut cause = Cause::of(Actor::new(ActorKind::Worker, self.worker));
        cause.subject.acknowledged_at = Some(published.to_string());
        self.effects.cause = Some(cause);
        run.published = Some(published.clone());
        let publish = &self.ledger.publish;
        if publish.confirm == ConfirmedBy::Broker || run.confirmed_by.is_some() {
            self.step(&mut run, Transition::Publish, None)?;
        } else if !run.is_parked() {
            // The reason why earlier attempts were not acknowledged no longer applies.
            run.clear_reason();
            run.answer_due_at = Some(self.at + TimeDelta::seconds(i64::from(publish.registry_patience_seconds)));
        }
        Ok(self.save(&run).await??)
    }
}
