//! The headers of a record: CloudEvents 1.0, Kafka protocol binding, binary mode; W3C trace context.

use crate::adapters::ledger::row::LockedRun;
use crate::domain::identity::RunId;
use crate::domain::trace_context::TraceContext;
use chrono::{DateTime, SecondsFormat, Utc};

const SOURCE: &str = "/model-factory";

/// As the ledger stores them: in order, as text.
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
            ("ce_source".to_owned(), SOURCE.to_owned()),
            ("ce_type".to_owned(), self.event_type.clone()),
            ("ce_time".to_owned(), self.at.to_rfc3339_opts(SecondsFormat::Micros, true)),
        ];
        headers.extend(self.subject.map(|run_id| ("ce_subject".to_owned(), run_id.to_string())));
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
        headers.extend(self.trace.into_iter().flat_map(trace));
        headers
    }
}

pub(super) fn trace(context: &TraceContext) -> impl Iterator<Item = (String, String)> {
    let state = context.tracestate().map(|state| ("tracestate".to_owned(), state.to_owned()));
    std::iter::once(("traceparent".to_owned(), context.traceparent())).chain(state)
}

/// As a record carries them.
pub(super) fn as_bytes(stored: StoredHeaders) -> Vec<(String, Vec<u8>)> {
    stored.into_iter().map(|(name, value)| (name, value.into_bytes())).collect()
}

/// The first header of this name.
pub fn header(stored: Vec<(String, String)>, name: &str) -> Option<String> {
    stored.into_iter().find(|(found, _)| found == name).map(|(_, value)| value)
}
