//! The relay's side of the outbox: shards, unsent records, acknowledged ones.

use super::headers::{StoredHeaders, as_bytes};
use super::record::{OutboxRow, Sent, Shard};
use crate::adapters::ledger::effects::Cause;
use crate::adapters::ledger::transaction::Transaction;
use crate::adapters::ledger::{ConfirmedBy, Coordinates, Error, Ledger};
use crate::domain::contract::{Actor, ActorKind};
use crate::domain::run::{OutboxKind, State, Transition};
use crate::telemetry::metrics::{self, StaleWrite};
use chrono::TimeDelta;
use serde_json::json;
use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::Query;
use sqlx::{FromRow as _, Row as _};

/// A relay that does not renew its shards for this long loses them.
const SHARD_LEASE_SECONDS: f64 = 15.0;

impl Ledger {
    /// Takes shards that nobody holds, renews those of this relay, and returns all that it holds now. A shard that
    /// changes hands gets a new fence.
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

    /// The first unsent record of each stream of these shards, up to `limit`. The next one of a stream waits until this
    /// one is acknowledged, which keeps every run in order. Of a dead letter whose original is larger than
    /// `max_value_bytes` only a reference is sent; the ledger keeps the bytes.
    pub async fn unsent(&self, shards: &[Shard], limit: i64, max_value_bytes: i64) -> Result<Vec<OutboxRow>, Error> {
        let rows: Vec<UnsentRow> = sqlx::query_as(
            r#"SELECT f.id, f.stream, f.shard, f.kind::text, f.key,
                      COALESCE(f.value, CASE WHEN length(i.value) <= $3 THEN i.value END) AS value, f.headers,
                      length(i.value)::bigint AS bytes, f.source_topic, f.source_partition, f.source_offset
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

    /// The first unsent lineage event of each run of these shards, up to `limit`.
    pub async fn unsent_lineage(&self, shards: &[Shard], limit: i64) -> Result<Vec<OutboxRow>, Error> {
        let rows: Vec<UnsentLineage> = sqlx::query_as(
            "SELECT DISTINCT ON (o.run_id) o.id, o.run_id, o.shard, o.key, o.value, o.headers FROM lineage_outbox o
             WHERE o.sent_at IS NULL AND o.shard = ANY($1) ORDER BY o.run_id, o.id LIMIT $2",
        )
        .bind(shards.iter().map(|shard| shard.shard).collect::<Vec<_>>())
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let record = |UnsentLineage { id, run_id, shard, key, value, headers }| {
            let (kind, key, headers) = (OutboxKind::Lineage, Some(key), as_bytes(headers));
            OutboxRow { id, stream: run_id, shard, kind, key, value, headers }
        };
        Ok(rows.into_iter().map(record).collect())
    }

    /// Marks acknowledged records as sent, each under the fence of its shard, and returns how many were marked. A
    /// publication that was acknowledged makes its run PUBLISHED in the same transaction, or lets it wait for the
    /// registry; so does one that was withdrawn while it was on its way, since the broker has it.
    pub async fn mark_sent(&self, relay: &str, sent: &[Sent]) -> Result<usize, Error> {
        let (lineage, others): (Vec<&Sent>, Vec<&Sent>) = sent.iter().partition(|s| s.kind == OutboxKind::Lineage);
        let mut transaction = self.begin(relay).await?;
        let mut delays: Vec<(OutboxKind, f64)> = Vec::with_capacity(sent.len());
        for delay in transaction.mark_lineage(&lineage).await? {
            delays.push((OutboxKind::Lineage, delay));
        }
        let mut marked = transaction.mark_outbox(&others).await?;
        // Runs are locked in the order of their ids, as an admission locks them.
        marked.sort_by(|one, other| one.stream.cmp(&other.stream));
        for MarkedRow { stream, kind, sent_to, delay } in marked {
            if kind == OutboxKind::Publication {
                transaction.acknowledge(&stream, sent_to).await?;
            }
            delays.push((kind, delay));
        }
        transaction.commit(Some("mark.taken"), Some("mark.committed")).await?;
        metrics::STALE_WRITES.add(StaleWrite::MarkSent, (sent.len() - delays.len()) as u64);
        for (kind, delay) in &delays {
            metrics::EVENTS_SENT.count(*kind);
            metrics::RELAY_DELAY.observe((), *delay);
        }
        Ok(delays.len())
    }
}

#[derive(sqlx_macros::FromRow)]
struct UnsentRow {
    id: i64,
    stream: String,
    shard: i16,
    kind: OutboxKind,
    key: Option<Vec<u8>>,
    /// None where a dead letter's original is too large.
    value: Option<Vec<u8>>,
    #[sqlx(json)]
    headers: StoredHeaders,
    /// Length of a dead letter's original.
    bytes: Option<i64>,
    #[sqlx(flatten)]
    source: SourceColumns,
}

/// Of dead letters alone.
#[derive(sqlx_macros::FromRow)]
struct SourceColumns {
    #[sqlx(rename = "source_topic")]
    topic: Option<String>,
    #[sqlx(rename = "source_partition")]
    partition: Option<i32>,
    #[sqlx(rename = "source_offset")]
    offset: Option<i64>,
}

#[derive(sqlx_macros::FromRow)]
struct UnsentLineage {
    id: i64,
    run_id: String,
    shard: i16,
    key: Vec<u8>,
    value: Vec<u8>,
    #[sqlx(json)]
    headers: StoredHeaders,
}

#[derive(sqlx_macros::FromRow)]
struct MarkedRow {
    stream: String,
    kind: OutboxKind,
    #[sqlx(flatten)]
    sent_to: Coordinates,
    /// Seconds between the insert and the mark.
    delay: f64,
}

impl UnsentRow {
    fn record(self) -> OutboxRow {
        let Self { id, stream, shard, kind, key, value, headers, bytes, source } = self;
        let mut headers = as_bytes(headers);
        let value = value.unwrap_or_else(|| {
            let reference = format!("ledger:{}", source.name());
            headers.push(("mf_value_ref".to_owned(), reference.clone().into_bytes()));
            json!({"bytes": bytes, "ref": reference}).to_string().into_bytes()
        });
        OutboxRow { id, stream, shard, kind, key, value, headers }
    }
}

impl SourceColumns {
    fn name(self) -> String {
        let (topic, partition) = (self.topic.unwrap_or_default(), self.partition.unwrap_or_default());
        Coordinates { topic, partition, offset: self.offset.unwrap_or_default() }.to_string()
    }
}

impl Transaction<'_> {
    async fn mark_outbox(&mut self, sent: &[&Sent]) -> Result<Vec<MarkedRow>, Error> {
        let statement = r#"UPDATE outbox o SET sent_at = now(), sent_topic = m.topic, sent_partition = m.partition,
                                   sent_offset = m.position
               FROM UNNEST($1::bigint[], $2::smallint[], $3::bigint[], $4::text[], $5::integer[], $6::bigint[])
                    AS m (id, shard, fence, topic, partition, position)
               WHERE o.id = m.id AND o.sent_at IS NULL
                 AND EXISTS (SELECT FROM relay_shards s WHERE s.shard = m.shard AND s.fence = m.fence AND s.owner = $7)
               RETURNING o.stream, o.kind::text, o.sent_topic AS topic, o.sent_partition AS partition,
                         o.sent_offset AS "offset", EXTRACT(EPOCH FROM o.sent_at - o.created_at)::float8 AS delay"#;
        let marked = over(statement, self.worker, sent).fetch_all(self.connection()).await?;
        Ok(marked.iter().map(MarkedRow::from_row).collect::<Result<_, _>>()?)
    }

    /// The same for lineage; of every event that was marked, the seconds that it waited.
    async fn mark_lineage(&mut self, sent: &[&Sent]) -> Result<Vec<f64>, Error> {
        if sent.is_empty() {
            return Ok(Vec::new());
        }
        let statement =
            "UPDATE lineage_outbox o SET sent_at = now(), sent_topic = m.topic, sent_partition = m.partition,
                                         sent_offset = m.position
             FROM UNNEST($1::bigint[], $2::smallint[], $3::bigint[], $4::text[], $5::integer[], $6::bigint[])
                  AS m (id, shard, fence, topic, partition, position)
             WHERE o.id = m.id AND o.sent_at IS NULL
               AND EXISTS (SELECT FROM relay_shards s WHERE s.shard = m.shard AND s.fence = m.fence AND s.owner = $7)
             RETURNING EXTRACT(EPOCH FROM o.sent_at - o.created_at)::float8 AS delay";
        let marked = over(statement, self.worker, sent).fetch_all(self.connection()).await?;
        Ok(marked.iter().map(|row| row.try_get("delay")).collect::<Result<_, _>>()?)
    }

    /// `PUBLISH_PENDING` → PUBLISHED, unless the registry's word is missing. A run that is elsewhere stays as it is (it
    /// was published before, or a worker verifies it once more): the record on the topic is the same announcement.
    async fn acknowledge(&mut self, run_id: &str, published: Coordinates) -> Result<(), Error> {
        let mut run = self.lock_named(run_id).await?;
        if run.state != State::PublishPending {
            return Ok(());
        }
        let mut cause = Cause::of(Actor::new(ActorKind::Worker, self.worker));
        cause.subject.acknowledged_at = Some(published.to_string());
        self.because(cause);
        run.published = Some(published);
        let publish = &self.ledger.publish;
        if publish.confirm == ConfirmedBy::Broker || run.confirmed_by.is_some() {
            self.step(&mut run, Transition::Publish, None)?;
        } else if !run.is_parked() {
            // Why it was not acknowledged earlier is over.
            run.clear_reason();
            run.answer_due_at = Some(self.at + TimeDelta::seconds(i64::from(publish.registry_patience_seconds)));
        }
        Ok(self.save(&run).await??)
    }
}

/// A statement over acknowledged records: `$1` to `$6` are ids, shards, fences, topics, partitions and offsets, `$7` the
/// relay.
fn over<'q>(statement: &'static str, relay: &'q str, sent: &[&'q Sent]) -> Query<'q, Postgres, PgArguments> {
    sqlx::query(statement)
        .bind(sent.iter().map(|s| s.id).collect::<Vec<_>>())
        .bind(sent.iter().map(|s| s.shard.shard).collect::<Vec<_>>())
        .bind(sent.iter().map(|s| s.shard.fence).collect::<Vec<_>>())
        .bind(sent.iter().map(|s| s.coordinates.topic.as_str()).collect::<Vec<_>>())
        .bind(sent.iter().map(|s| s.coordinates.partition).collect::<Vec<_>>())
        .bind(sent.iter().map(|s| s.coordinates.offset).collect::<Vec<_>>())
        .bind(relay)
}
