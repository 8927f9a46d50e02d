//! Rows of the outbox before they are inserted. Headers follow CloudEvents 1.0 (Kafka protocol binding, binary mode)
//! and W3C trace context.

use crate::adapters::ledger::row::LockedRun;
use crate::adapters::ledger::session::Session;
use crate::adapters::ledger::{Coordinates, Error};
use crate::domain::identity::RunId;
use crate::domain::run::OutboxKind;
use crate::domain::trace_context::TraceContext;
use chrono::{DateTime, SecondsFormat, Utc};
use sqlx::types::Json;

#[derive(Debug)]
pub struct OutboxDraft {
    pub(super) stream: String,
    /// Number of an event within its stream; `None` for publications and dead letters.
    pub(super) seq: Option<i64>,
    pub(super) kind: OutboxKind,
    pub(super) event_id: String,
    pub(super) key: Option<Vec<u8>>,
    /// `None` for a dead letter: the relay reads the bytes of `source` from the inbox.
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: StoredHeaders,
    /// The record of the request topic that a dead letter repeats; `None` for events and publications.
    pub(super) source: Option<Coordinates>,
}

/// Inserts rows in the order of `drafts`, so that ids ascend within each stream.
pub async fn insert_outbox(connection: &mut Session, drafts: &[OutboxDraft]) -> Result<(), Error> {
    if drafts.is_empty() {
        return Ok(());
    }
    let source = |of: fn(&Coordinates) -> i64| drafts.iter().map(|d| d.source.as_ref().map(of)).collect::<Vec<_>>();
    sqlx::query(
        "INSERT INTO outbox (stream, seq, kind, event_id, key, value, headers, source_topic, source_partition,
                             source_offset, created_at)
         SELECT d.stream, d.seq, d.kind::outbox_kind, d.event_id, d.key, d.value, d.headers, d.topic,
                d.partition::integer, d.position, now()
         FROM UNNEST($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bytea[], $6::bytea[], $7::jsonb[],
                     $8::text[], $9::bigint[], $10::bigint[])
              WITH ORDINALITY AS d (stream, seq, kind, event_id, key, value, headers, topic, partition, position, line)
         ORDER BY d.line",
    )
    .bind(drafts.iter().map(|d| d.stream.as_str()).collect::<Vec<_>>())
    .bind(drafts.iter().map(|d| d.seq).collect::<Vec<_>>())
    .bind(drafts.iter().map(|d| d.kind.as_str()).collect::<Vec<_>>())
    .bind(drafts.iter().map(|d| d.event_id.as_str()).collect::<Vec<_>>())
    .bind(drafts.iter().map(|d| d.key.as_deref()).collect::<Vec<_>>())
    .bind(drafts.iter().map(|d| d.value.as_deref()).collect::<Vec<_>>())
    .bind(drafts.iter().map(|d| Json(&d.headers)).collect::<Vec<_>>())
    .bind(drafts.iter().map(|d| d.source.as_ref().map(|at| at.topic.as_str())).collect::<Vec<_>>())
    .bind(source(|at| i64::from(at.partition)))
    .bind(source(|at| at.offset))
    .execute(connection)
    .await?;
    Ok(())
}

/// Headers as the ledger stores them: pairs of name and text, in order.
pub(super) type StoredHeaders = Vec<(String, String)>;

pub(super) struct CloudEventHeaders<'a> {
    pub(super) id: &'a str,
    pub(super) event_type: String,
    pub(super) at: DateTime<Utc>,
    pub(super) subject: Option<&'a RunId>,
    pub(super) trace: Option<&'a TraceContext>,
}

impl<'a> CloudEventHeaders<'a> {
    pub(super) fn of_run(run: &'a LockedRun, id: &'a str, event_type: String, at: DateTime<Utc>) -> StoredHeaders {
        Self { id, event_type, at, subject: Some(&run.run_id), trace: run.trace.0.as_ref() }.stored()
    }

    pub(super) fn stored(&self) -> StoredHeaders {
        let mut headers = vec![
            ("ce_specversion".to_owned(), "1.0".to_owned()),
            ("ce_id".to_owned(), self.id.to_owned()),
            ("ce_source".to_owned(), "/model-factory".to_owned()),
            ("ce_type".to_owned(), self.event_type.clone()),
            ("ce_time".to_owned(), self.at.to_rfc3339_opts(SecondsFormat::Micros, true)),
        ];
        headers.extend(self.subject.map(|run_id| ("ce_subject".to_owned(), run_id.to_string())));
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
        headers.extend(self.trace.into_iter().flat_map(trace));
        headers
    }
}

/// The headers that carry a trace context.
pub(super) fn trace(context: &TraceContext) -> impl Iterator<Item = (String, String)> {
    let state = context.tracestate().map(|state| ("tracestate".to_owned(), state.to_owned()));
    std::iter::once(("traceparent".to_owned(), context.traceparent())).chain(state)
}
