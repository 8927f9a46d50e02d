//! The span and the log line of a record: where it came from, and what became of it.
//!
//! Never: begins a span where no traces are recorded; decides anything.

use crate::adapters::kafka::Inbound;
use crate::adapters::ledger::Arrival;
use crate::domain::identity::RunId;
use crate::domain::run::{FailureCode, Outcome};
use crate::domain::trace_context::TraceContext;
use crate::telemetry::{OpenSpan, Received, process_span};
use tracing::info;

/// Begins the record's span. Also returns the trace context that is the parent of all that follows from the record:
/// the span's or, if the span is not recorded, the requester's.
pub(super) fn begin(record: &Inbound, group: &str, arrival: &Arrival) -> (Option<TraceContext>, Option<OpenSpan>) {
    let requester = arrival.requested_under();
    let received_record = Received {
        topic: &record.topic,
        partition: record.partition,
        offset: record.offset,
        key: record.key.as_deref(),
        bytes: record.value.len(),
        group,
    };
    let span = process_span(&received_record, requester);
    let id = match arrival.parsed() {
        Ok(message) => Some(message.request_id()),
        Err(rejection) => rejection.ids.request_id.as_deref(),
    };
    if let (Some(span), Some(id)) = (&span, id) {
        span.record_attribute("messaging.message.id", id.to_owned());
    }
    let own = || span.as_ref().and_then(OpenSpan::context);
    let context =
        if span.as_ref().is_some_and(OpenSpan::is_recorded) { own() } else { requester.cloned().or_else(own) };
    (context, span)
}

/// Records the outcome in the span, and logs it with the coordinates of the record.
pub(super) fn end(record: &Inbound, outcome: &Outcome, span: Option<&OpenSpan>) {
    let kind = outcome.kind().as_str();
    let code = outcome.code().map(FailureCode::as_str);
    let run_id = outcome.run_id().map(RunId::as_str);
    if let Some(span) = span {
        span.record_attribute("request.outcome", kind);
        if let Some(run_id) = run_id {
            span.record_attribute("run.id", run_id.to_owned());
        }
        if let Some(code) = code {
            span.record_failure(code);
        }
    }
    let context = span.filter(|span| span.is_recorded()).and_then(OpenSpan::context);
    info!(
        kafka.topic = record.topic,
        kafka.partition = record.partition,
        kafka.offset = record.offset,
        request.outcome = kind,
        run.id = run_id,
        failure.code = code,
        trace_id = context.as_ref().map(|context| hex::encode(context.trace_id())),
        span_id = context.as_ref().map(|context| hex::encode(context.span_id())),
        "admitted"
    );
}
