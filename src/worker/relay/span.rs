//! The span of a record that is sent, and the headers that name it.

use crate::adapters::ledger::OutboxRow;
use crate::domain::trace_context::TraceContext;
use crate::telemetry::{OpenSpan, Sending, send_span};
use std::borrow::Cow;

type Headers<'row> = Cow<'row, [(String, Vec<u8>)]>;

/// The span of a record that is sent, and the headers of that record. If the span is recorded, the header `traceparent`
/// names it, so that it is the parent of every consumer's span.
pub(super) fn traced<'row>(row: &'row OutboxRow, topic: &str) -> (Option<OpenSpan>, Headers<'row>) {
    let header = |name: &str| {
        let (_, value) = row.headers.iter().find(|(header, _)| header == name)?;
        std::str::from_utf8(value).ok()
    };
    let from = TraceContext::read(header("traceparent"), header("tracestate"));
    let run_id = header("ce_subject");
    let record = Sending { topic, key: row.key.as_deref(), bytes: row.value.len(), id: header("ce_id"), run_id };
    let span = send_span(&record, from.as_ref());
    let own = span.as_ref().filter(|span| span.is_recorded()).and_then(OpenSpan::context);
    let Some(own) = own else { return (span, Cow::Borrowed(&row.headers)) };
    let mut headers = row.headers.clone();
    headers.retain(|(name, _)| name != "traceparent");
    headers.push(("traceparent".to_owned(), own.traceparent().into_bytes()));
    (span, Cow::Owned(headers))
}
