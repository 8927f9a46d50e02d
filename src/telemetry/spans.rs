//! The spans of a worker: what it received, what it works on, what its child reports, what it sends.
//!
//! Guarantees: where no endpoint is configured every function here is one comparison. Names and attributes follow
//! OpenTelemetry's semantic conventions for messaging (1.42) where they speak of it. Never: puts a value of a record
//! into a span.

use super::TelemetrySettings;
use crate::clock;
use crate::domain::trace_context::TraceContext;
use opentelemetry::trace::{
    Link, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::SdkTracer;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

struct Recording {
    tracer: SdkTracer,
    link_after: Duration,
}

/// As the log, one for the process.
static RECORDING: OnceLock<Recording> = OnceLock::new();

pub(super) fn record(tracer: SdkTracer, settings: &TelemetrySettings) {
    let link_after = Duration::from_secs(u64::from(settings.link_after_seconds));
    // Whoever was first goes on.
    let _ = RECORDING.set(Recording { tracer, link_after });
}

/// A span that ends when it is dropped, on whichever thread.
#[derive(Debug)]
pub struct OpenSpan(Context);

impl OpenSpan {
    fn begin(recording: &Recording, builder: SpanBuilder, parent: &Context) -> Self {
        Self(parent.with_span(builder.start_with_context(&recording.tracer, parent)))
    }

    /// Where what follows hangs: this span, or what it hangs under itself where it is not recorded.
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

    /// Whether it will be sent.
    pub fn is_recorded(&self) -> bool {
        self.0.span().is_recording()
    }

    /// Adds an attribute.
    pub fn note(&self, name: &'static str, value: impl Into<Value>) {
        self.0.span().set_attribute(KeyValue::new(name, value));
    }

    /// Says that the work failed, with the code of the failure.
    pub fn fail(&self, code: &str) {
        failed(&self.0, code);
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        self.0.span().end();
    }
}

fn failed(context: &Context, code: &str) {
    context.span().set_attribute(KeyValue::new("error.type", code.to_owned()));
    context.span().set_status(Status::error(code.to_owned()));
}

/// A context as the SDK takes it.
fn remote(context: &TraceContext) -> SpanContext {
    let flags = if context.is_sampled() { TraceFlags::SAMPLED } else { TraceFlags::default() };
    // A list that the SDK does not take is no reason to lose the trace.
    let state = context.tracestate().and_then(|text| text.parse::<TraceState>().ok()).unwrap_or_default();
    SpanContext::new(TraceId::from_bytes(context.trace_id()), SpanId::from_bytes(context.span_id()), flags, true, state)
}

fn under(parent: Option<&TraceContext>) -> Context {
    match parent {
        Some(parent) => Context::new().with_remote_span_context(remote(parent)),
        None => Context::new(),
    }
}

/// A record that was received.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Bytes of its value.
    pub bytes: usize,
    /// The consumer group.
    pub group: &'a str,
}

/// Begins `process {topic}` under the requester's context; none where nothing is recorded.
pub fn received(record: &Received<'_>, from: Option<&TraceContext>) -> Option<OpenSpan> {
    let recording = RECORDING.get()?;
    let mut attributes = messaging("process", record.topic, record.key, record.bytes);
    attributes.push(KeyValue::new("messaging.destination.partition.id", record.partition.to_string()));
    attributes.push(KeyValue::new("messaging.kafka.offset", record.offset));
    attributes.push(KeyValue::new("messaging.consumer.group.name", record.group.to_owned()));
    // The conventions ask for a link and allow a parent besides: one record is one request.
    let links = from.map(|from| Link::with_context(remote(from))).into_iter().collect();
    let builder = SpanBuilder::from_name(format!("process {}", record.topic))
        .with_kind(SpanKind::Consumer)
        .with_attributes(attributes)
        .with_links(links);
    Some(OpenSpan::begin(recording, builder, &under(from)))
}

/// A record that is sent.
#[derive(Debug, Clone, Copy)]
pub struct Sending<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Bytes of its value.
    pub bytes: usize,
    /// Its `ce_id`.
    pub id: Option<&'a str>,
    /// The run that it tells of.
    pub run_id: Option<&'a str>,
}

/// Begins `send {topic}` under the context that the record was written with; none where nothing is recorded.
pub fn sending(record: &Sending<'_>, from: Option<&TraceContext>) -> Option<OpenSpan> {
    let recording = RECORDING.get()?;
    let mut attributes = messaging("send", record.topic, record.key, record.bytes);
    for (name, value) in [("messaging.message.id", record.id), ("run.id", record.run_id)] {
        attributes.extend(value.map(|value| KeyValue::new(name, value.to_owned())));
    }
    let builder = SpanBuilder::from_name(format!("send {}", record.topic))
        .with_kind(SpanKind::Producer)
        .with_attributes(attributes);
    Some(OpenSpan::begin(recording, builder, &under(from)))
}

/// Longer keys are no help to anybody.
const KEY_CAP: usize = 256;

fn messaging(operation: &'static str, topic: &str, key: Option<&[u8]>, bytes: usize) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("messaging.system", "kafka"),
        KeyValue::new("messaging.operation.name", operation),
        KeyValue::new("messaging.operation.type", operation),
        KeyValue::new("messaging.destination.name", topic.to_owned()),
        KeyValue::new("messaging.message.body.size", i64::try_from(bytes).unwrap_or(i64::MAX)),
    ];
    let key = key.and_then(|key| std::str::from_utf8(key).ok()).filter(|key| key.len() <= KEY_CAP);
    attributes.extend(key.map(|key| KeyValue::new("messaging.kafka.message.key", key.to_owned())));
    attributes
}

/// Hangs the span of an attempt under the context of its run. Where the run was queued for long, the attempt
/// begins a trace of its own with a link to it.
pub fn hang(span: &Span, from: Option<&TraceContext>, queued: Duration) {
    let (Some(recording), Some(from)) = (RECORDING.get(), from) else { return };
    if queued > recording.link_after {
        span.add_link(remote(from));
    } else {
        // It can only fail once the span was entered, and this one was not.
        let _ = span.set_parent(under(Some(from)));
    }
}

/// Adds an attribute to the span of the work in hand.
pub fn note(name: &'static str, value: impl Into<Value>) {
    if RECORDING.get().is_some() {
        Span::current().set_attribute(name, value);
    }
}

/// Says that the work in hand failed, with the code of the failure.
pub fn fail(code: &str) {
    if RECORDING.get().is_some() {
        Span::current().set_attribute("error.type", code.to_owned());
        Span::current().set_status(Status::error(code.to_owned()));
    }
}

/// A child process and the steps that it reports. The child itself knows of no trace: it has no network.
#[derive(Debug)]
pub struct ChildSpan {
    // Ends first.
    step: Option<(String, OpenSpan)>,
    process: OpenSpan,
    last: SystemTime,
}

impl ChildSpan {
    /// Begins the span of a child process under that of the work in hand; none where nothing is recorded.
    pub fn begin(name: &'static str) -> Option<Self> {
        let recording = RECORDING.get()?;
        let builder = SpanBuilder::from_name(name);
        let process = OpenSpan::begin(recording, builder, &Span::current().context());
        Some(Self { process, step: None, last: clock::system_time() })
    }

    /// The child is at this step, since the time that it says in microseconds since 1970. A clock that lies is
    /// held to what can be.
    pub fn at(&mut self, step: &str, since: Option<u64>) {
        let Some(recording) = RECORDING.get() else { return };
        let now = clock::system_time();
        let said = since.and_then(|micros| SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(micros)));
        let since = said.unwrap_or(now).clamp(self.last, now.max(self.last));
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

    /// The child failed, in the step that it was at.
    pub fn fail(&self, code: &str) {
        for span in self.step.iter().map(|(_, step)| step).chain([&self.process]) {
            span.fail(code);
        }
    }
}
