//! Begins and ends spans, and records their attributes and failures. Also records the spans of a child process.
//!
//! Guarantees: if no endpoint is configured, every function in this file costs one comparison.

use super::settings::TelemetrySettings;
use crate::clock;
use crate::domain::trace_context::TraceContext;
use opentelemetry::trace::{
    SpanBuilder, SpanContext, SpanId, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::SdkTracer;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

pub(super) struct Recording {
    tracer: SdkTracer,
    link_after: Duration,
}

/// Set once for the process by [`install`]. Unset if no endpoint is configured.
pub(super) static RECORDING: OnceLock<Recording> = OnceLock::new();

pub fn install(tracer: SdkTracer, settings: &TelemetrySettings) {
    let link_after = Duration::from_secs(u64::from(settings.link_after_seconds));
    // A second call to `set` has no effect.
    let _ = RECORDING.set(Recording { tracer, link_after });
}

/// A span that ends when the value is dropped, on any thread.
#[derive(Debug)]
pub struct OpenSpan(pub(super) Context);

impl OpenSpan {
    pub(super) fn begin(recording: &Recording, builder: SpanBuilder, parent: &Context) -> Self {
        Self(parent.with_span(builder.start_with_context(&recording.tracer, parent)))
    }

    /// Returns the context under which later spans begin: that of this span, recorded or not. `None` if it has no valid
    /// ids.
    pub fn context(&self) -> Option<TraceContext> {
        let context = self.0.span().span_context().clone();
        let state = context.trace_state().header();
        TraceContext::new(
            context.trace_id().to_bytes(),
            context.span_id().to_bytes(),
            context.is_sampled(),
            (!state.is_empty()).then_some(state.as_str()),
        )
    }

    pub fn is_recorded(&self) -> bool {
        self.0.span().is_recording()
    }

    pub fn record_attribute(&self, name: &'static str, value: impl Into<Value>) {
        self.0.span().set_attribute(KeyValue::new(name, value));
    }

    /// Marks the span as failed. `code` becomes the span's attribute `error.type`.
    pub fn record_failure(&self, code: &str) {
        self.0.span().set_attribute(KeyValue::new("error.type", code.to_owned()));
        self.0.span().set_status(Status::error(code.to_owned()));
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        self.0.span().end();
    }
}

pub(super) fn remote(context: &TraceContext) -> SpanContext {
    let flags = if context.is_sampled() { TraceFlags::SAMPLED } else { TraceFlags::default() };
    // A `tracestate` that the SDK refuses is left out. The trace id and the span id are still used.
    let state = context.tracestate().and_then(|text| text.parse::<TraceState>().ok()).unwrap_or_default();
    SpanContext::new(TraceId::from_bytes(context.trace_id()), SpanId::from_bytes(context.span_id()), flags, true, state)
}

pub(super) fn under(parent: Option<&TraceContext>) -> Context {
    match parent {
        Some(parent) => Context::new().with_remote_span_context(remote(parent)),
        None => Context::new(),
    }
}

/// Makes the span of an attempt a child of its run's context. If the run was queued for longer than
/// `telemetry.link_after_seconds`, the attempt instead begins a new trace with a link to the run's context.
pub fn set_parent(span: &Span, from: Option<&TraceContext>, queued: Duration) {
    let (Some(recording), Some(from)) = (RECORDING.get(), from) else { return };
    if queued > recording.link_after {
        span.add_link(remote(from));
    } else {
        // The call returns an error only for a span that was entered already, and this span was not.
        let _ = span.set_parent(under(Some(from)));
    }
}

/// Records an attribute of the current span. Does nothing if traces are off.
pub fn record_attribute(name: &'static str, value: impl Into<Value>) {
    if RECORDING.get().is_some() {
        Span::current().set_attribute(name, value);
    }
}

/// Marks the current span as failed. `code` becomes the span's attribute `error.type`. Does nothing if traces are off.
pub fn record_failure(code: &str) {
    if RECORDING.get().is_some() {
        Span::current().set_attribute("error.type", code.to_owned());
        Span::current().set_status(Status::error(code.to_owned()));
    }
}

/// The span of a child process, with a child span for each step that the process reports. The worker sends these spans,
/// since the child process has no network.
#[derive(Debug)]
pub struct ChildSpan {
    // Declared before `process`, so that it is dropped, and ends, first.
    step: Option<(String, OpenSpan)>,
    process: OpenSpan,
    last: SystemTime,
}

impl ChildSpan {
    /// Begins the span of a child process under the current span. `None` if traces are off.
    pub fn begin(name: &'static str) -> Option<Self> {
        let recording = RECORDING.get()?;
        let process = OpenSpan::begin(recording, SpanBuilder::from_name(name), &Span::current().context());
        Some(Self { process, step: None, last: clock::system_time() })
    }

    /// Begins the span of a step and ends that of the step before. `since` is the time that the child gave, in
    /// microseconds since 1970. It is clamped to lie between the last report's time and now. A repeated step changes
    /// nothing.
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

    /// Marks the span of the child, and of the step that it was in, as failed.
    pub fn record_failure(&self, code: &str) {
        for span in self.step.iter().map(|(_, step)| step).chain([&self.process]) {
            span.record_failure(code);
        }
    }
}
