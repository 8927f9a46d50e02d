//! What the relay writes about records on their way: that a publication is handed over, that the broker has a record.

use super::Sent;
use crate::adapters::ledger::effects::Cause;
use crate::adapters::ledger::transaction::Transaction;
use crate::adapters::ledger::{ConfirmedBy, Coordinates, Error, Ledger};
use crate::domain::contract::{Actor, ActorKind};
use crate::domain::run::{OutboxKind, State, Transition};
use crate::telemetry::metrics::{self, StaleWrite};
use chrono::TimeDelta;

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
    /// Notes that these publications are handed over to the client library now, if they never were before. From then on
    /// the broker's acknowledgement can be overdue.
    pub async fn note_handed(&self, ids: &[i64]) -> Result<(), Error> {
        sqlx::query("UPDATE outbox SET handed_at = now() WHERE id = ANY($1) AND handed_at IS NULL")
            .bind(ids)
            .execute(&self.pool)
            .await?;
        Ok(())
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
struct MarkedRow {
    stream: String,
    kind: OutboxKind,
    #[sqlx(flatten)]
    sent_to: Coordinates,
    /// Seconds between the insertion of the record and its mark.
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
