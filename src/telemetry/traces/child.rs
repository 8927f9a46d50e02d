//! Spans of a child process.

use super::spans::{OpenSpan, RECORDING};
use crate::clock;
use opentelemetry::trace::{SpanBuilder, TraceContextExt as _};
use std::time::{Duration, SystemTime};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The span of a child process, and one for each step that it reports. The child sends no spans: it has no network.
#[derive(Debug)]
pub struct ChildSpan {
    // Declared first, so that it ends first.
    step: Option<(String, OpenSpan)>,
    process: OpenSpan,
    last: SystemTime,
}

impl ChildSpan {
    /// Begins the span of a child process under the current span; none where nothing is recorded.
    pub fn begin(name: &'static str) -> Option<Self> {
        let recording = RECORDING.get()?;
        let builder = SpanBuilder::from_name(name);
        let process = OpenSpan::begin(recording, builder, &Span::current().context());
        Some(Self { process, step: None, last: clock::system_time() })
    }

    /// Begins the span of a step, if it is a new one, at the time that the child gave in microseconds since 1970. A
    /// time before the step that came before, or after now, is moved to there.
    pub fn begin_step(&mut self, step: &str, since: Option<u64>) {
        let Some(recording) = RECORDING.get() else { return };
        let now = clock::system_time();
        let reported = since.and_then(|micros| SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(micros)));
        let since = reported.unwrap_or(now).clamp(self.last, now.max(self.last));
        self.last = since;
        if self.step.as_ref().is_some_and(|(current, _)| current == step) {
            return;
        }
        if let Some((_, done)) = self.step.take() {
            done.0.span().end_with_timestamp(since);
        }
        let builder = SpanBuilder::from_name(step.to_owned()).with_start_time(since);
        self.step = Some((step.to_owned(), OpenSpan::begin(recording, builder, &self.process.0)));
    }

    /// Marks the child, and the step that it was at, as failed.
    pub fn record_failure(&self, code: &str) {
        for span in self.step.iter().map(|(_, step)| step).chain([&self.process]) {
            span.record_failure(code);
        }
    }
}
