//! Which records a relay sends next.
//!
//! Each lane is chosen by itself: the oldest records first, of each stream a bounded number, no stream that has records
//! in flight. What is chosen of a stream is always its first unsent records without a gap. The statements read through
//! partial indexes that hold only what is to be sent, some rows of each shard, so that a long backlog hardly slows a
//! choice.

use super::draft::StoredHeaders;
use super::fit::{Letter, OriginalRecord};
use super::{Lane, OutboxRow};
use crate::adapters::ledger::{Error, Ledger};
use crate::domain::run::OutboxKind;

/// What a relay has room for in one lane.
#[derive(Debug, Clone, Copy)]
pub struct Room<'a> {
    /// The shards that the relay sends.
    pub shards: &'a [i16],
    /// Streams that have records in flight.
    pub busy: &'a [&'a str],
    /// Most records that are chosen at once.
    pub records: usize,
    /// Most records of one stream that are chosen at once.
    pub of_a_stream: usize,
    /// Bytes of keys and values after which no further record is chosen.
    pub bytes: u64,
    /// Largest record that the broker takes, in bytes.
    pub max_record_bytes: u32,
}

/// `$1` to `$6` are shards, busy streams, rows of each shard, records, records of a stream, bytes.
macro_rules! choice {
    ($table:literal, $stream:literal, $lane:literal, $resting:literal, $columns:literal, $original:literal, $bytes:literal) => {
        concat!(
            "WITH resting AS MATERIALIZED (SELECT DISTINCT r.",
            $stream,
            " AS stream FROM ",
            $table,
            " r WHERE ",
            $resting,
            "), candidates AS (
                 SELECT c.id, c.stream FROM unnest($1::smallint[]) AS s (shard) CROSS JOIN LATERAL (
                     SELECT o.id, o.",
            $stream,
            " AS stream FROM ",
            $table,
            " o
                     WHERE ",
            $lane,
            " AND o.shard = s.shard AND o.rests_until IS NULL AND o.",
            $stream,
            " <> ALL($2)
                       AND o.",
            $stream,
            " NOT IN (SELECT stream FROM resting)
                     ORDER BY o.id LIMIT $3) c
                 UNION ALL
                 (SELECT o.id, o.",
            $stream,
            " FROM ",
            $table,
            " o
                  WHERE ",
            $lane,
            " AND o.shard = ANY($1) AND o.rests_until <= now() AND o.",
            $stream,
            " <> ALL($2)
                  ORDER BY o.rests_until LIMIT $4)
             ), chosen AS (
                 SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY stream ORDER BY id) AS number
                                 FROM candidates) ranked
                 WHERE number <= $5 ORDER BY id LIMIT $4
             ), sized AS (
                 SELECT f.*, ",
            $bytes,
            " AS own_bytes, sum(",
            $bytes,
            ") OVER (ORDER BY f.id) AS bytes_so_far
                 FROM chosen JOIN ",
            $table,
            " f USING (id)
             )
             SELECT f.id, f.",
            $stream,
            " AS stream, f.shard, f.key, f.headers, f.tries, ",
            $columns,
            "
             FROM sized f ",
            $original,
            "
             WHERE f.bytes_so_far - f.own_bytes < $6 ORDER BY f.id"
        )
    };
}

/// `$7` to `$9` are the kind, the beginning of the streams' names, and the largest record.
macro_rules! choice_of_outbox {
    ($stream:literal) => {
        choice!(
            "outbox",
            $stream,
            "o.kind = $7::outbox_kind AND left(o.stream, 3) = $8
             AND o.sent_at IS NULL AND o.withdrawn_at IS NULL AND o.set_aside_at IS NULL",
            "r.kind = $7::outbox_kind AND left(r.stream, 3) = 'tr_' AND r.rests_until IS NOT NULL
             AND r.sent_at IS NULL AND r.withdrawn_at IS NULL AND r.set_aside_at IS NULL",
            r#"f.kind::text, COALESCE(f.value, CASE WHEN i.value_bytes IS NULL AND length(i.value) <= $9
                                               THEN i.value END) AS value,
               COALESCE(i.value_bytes, length(i.value))::bigint AS original_bytes,
               CASE WHEN i.value_bytes IS NOT NULL THEN i.value END AS beginning,
               CASE WHEN i.value_bytes IS NULL THEN 'ledger:' ELSE 'kafka:' END || f.source_topic || '/' || f.source_partition || '/' || f.source_offset AS original_ref"#,
            r#"LEFT JOIN inbox i ON i.topic = f.source_topic AND i.partition = f.source_partition
                                AND i."offset" = f.source_offset"#,
            r#"COALESCE(length(f.key), 0)
               + COALESCE(length(f.value), (SELECT length(i.value) FROM inbox i
                                            WHERE i.topic = f.source_topic AND i.partition = f.source_partition
                                              AND i."offset" = f.source_offset), 0)"#
        )
    };
}

impl Ledger {
    /// Reads the first unsent records of the lane's streams, as many as there is room for, in the order of their ids.
    pub async fn unsent(&self, lane: Lane, room: Room<'_>) -> Result<Vec<OutboxRow>, Error> {
        let query = match lane {
            Lane::Lineage => sqlx::query_as(choice!(
                "lineage_outbox",
                "run_id",
                "o.sent_at IS NULL",
                "r.sent_at IS NULL AND r.rests_until IS NOT NULL",
                "'LINEAGE' AS kind, f.value, NULL::bigint AS original_bytes, NULL::bytea AS beginning, NULL::text AS original_ref",
                "",
                "length(f.value) + length(f.key)"
            )),
            // Publications of one run are one announcement: each may be sent beside an earlier one that is in flight still.
            Lane::Publications => sqlx::query_as(choice_of_outbox!("event_id")),
            Lane::RunEvents | Lane::RefusalEvents | Lane::DeadLetters => sqlx::query_as(choice_of_outbox!("stream")),
        };
        let of_a_shard = (room.records * 2).div_ceil(room.shards.len().max(1)).max(room.of_a_stream.min(32));
        let query = query
            .bind(room.shards)
            .bind(room.busy)
            .bind(of_a_shard as i64)
            .bind(room.records as i64)
            .bind(room.of_a_stream as i64)
            .bind(room.bytes as i64);
        let query = match lane {
            Lane::Lineage => query,
            Lane::RunEvents | Lane::Publications | Lane::RefusalEvents | Lane::DeadLetters => {
                query.bind(lane.kind().as_str()).bind(lane.stream_prefix()).bind(i64::from(room.max_record_bytes))
            }
        };
        let rows: Vec<UnsentRow> = query.fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|row| row.record(room.max_record_bytes as usize)).collect())
    }
}

#[derive(sqlx_macros::FromRow)]
struct UnsentRow {
    id: i64,
    stream: String,
    shard: i16,
    kind: OutboxKind,
    key: Option<Vec<u8>>,
    #[sqlx(json)]
    headers: StoredHeaders,
    tries: i16,
    /// `None` for a dead letter if the ledger keeps only the beginning of the original, or if the original is longer than
    /// the largest record that may be sent.
    value: Option<Vec<u8>>,
    original_bytes: Option<i64>,
    /// Beginning of a dead letter's original; `None` if the ledger keeps all of it, and for other records.
    beginning: Option<Vec<u8>>,
    /// Reference to a dead letter's original, in the inbox or on the request topic; `None` for other records.
    original_ref: Option<String>,
}

impl UnsentRow {
    fn record(self, max_record_bytes: usize) -> OutboxRow {
        let Self { id, stream, shard, kind, key, headers, tries, value, original_bytes, beginning, original_ref } =
            self;
        let headers = headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect();
        let mut letter = Letter { key, value, headers };
        if let Some(reference) = original_ref {
            let original = OriginalRecord { bytes: original_bytes.unwrap_or_default(), beginning, reference };
            // What the broker refused once goes as small as it can be made.
            letter.fit(&original, if tries > 0 { 0 } else { max_record_bytes });
        }
        let Letter { key, value, headers } = letter;
        OutboxRow { id, stream, shard, kind, key, value: value.unwrap_or_default(), headers }
    }
}
