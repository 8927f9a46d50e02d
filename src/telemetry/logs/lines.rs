//! Writes log lines in two formats: a flat JSON object with the fields of the event and of its spans, or `name=value`
//! text.
//!
//! Guarantees: an event is one line. In JSON, an event's field replaces a field of the same name in an enclosing span,
//! and an inner span's field replaces that of an outer span. `docs/logs.md` lists the names of the fields.

use crate::clock;
use crate::telemetry::plain_text::{capped, plain, plain_json};
use chrono::{DateTime, SecondsFormat, Utc};
use opentelemetry::trace::TraceContextExt as _;
use serde_json::{Map, Value};
use std::fmt::{self, Debug};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Returns true for a field that only traces use. No log line shows it.
fn is_for_traces(name: &str) -> bool {
    name.starts_with("otel.")
}

/// Writes an event, with the fields of its enclosing spans, as one JSON object.
pub(super) struct JsonLines;

/// Stores the fields of a span as the text of a JSON object, which [`JsonLines`] parses again.
pub(super) struct JsonFields;

#[derive(Default)]
struct JsonVisitor(Map<String, Value>);

impl JsonVisitor {
    fn keep(&mut self, field: &Field, value: impl Into<Value>) {
        if !is_for_traces(field.name()) {
            // A field that is named after a Rust keyword, such as `r#type`, is logged without `r#`.
            self.0.insert(field.name().trim_start_matches("r#").to_owned(), value.into());
        }
    }
}

impl Visit for JsonVisitor {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.keep(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.keep(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.keep(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.keep(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.keep(field, capped(value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.keep(field, capped(format!("{value:?}")));
    }
}

impl<'writer> FormatFields<'writer> for JsonFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut found = JsonVisitor::default();
        fields.record(&mut found);
        write!(writer, "{}", Value::Object(found.0))
    }

    fn add_fields(
        &self,
        current: &'writer mut FormattedFields<Self>,
        fields: &tracing::span::Record<'_>,
    ) -> fmt::Result {
        let mut found = JsonVisitor(read(&current.fields));
        fields.record(&mut found);
        current.fields = Value::Object(found.0).to_string();
        Ok(())
    }
}

fn read(fields: &str) -> Map<String, Value> {
    serde_json::from_str(fields).unwrap_or_default()
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut found = JsonVisitor::default();
        for span in context.event_scope().into_iter().flat_map(tracing_subscriber::registry::Scope::from_root) {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                found.0.extend(read(&fields.fields));
            }
        }
        let here = opentelemetry::Context::current();
        let here = here.span().span_context().clone();
        if here.is_valid() {
            found.0.insert("trace_id".to_owned(), here.trace_id().to_string().into());
            found.0.insert("span_id".to_owned(), here.span_id().to_string().into());
        }
        event.record(&mut found);
        let metadata = event.metadata();
        let at = DateTime::<Utc>::from(clock::system_time()).to_rfc3339_opts(SecondsFormat::Micros, true);
        let message = found.0.remove("message").unwrap_or_else(|| metadata.name().into());
        let head = [
            ("timestamp", at.into()),
            ("level", metadata.level().as_str().into()),
            ("target", metadata.target().into()),
            ("message", message),
        ];
        for (name, _) in &head {
            found.0.remove(*name);
        }
        let fields = found.0.iter().map(|(name, value)| (name.as_str(), value.clone()));
        writer.write_char('{')?;
        for (index, (name, value)) in head.into_iter().chain(fields).enumerate() {
            if index > 0 {
                writer.write_char(',')?;
            }
            plain_json(&format!("{}:{value}", Value::from(name)), &mut writer)?;
        }
        writeln!(writer, "}}")
    }
}

/// Writes fields as `name=value name=value`. The message is written without a name.
pub(super) struct PrettyFields;

struct PrettyVisitor<'writer> {
    writer: Writer<'writer>,
    first: bool,
    written: fmt::Result,
}

impl Visit for PrettyVisitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if is_for_traces(field.name()) || self.written.is_err() {
            return;
        }
        let value = plain(&capped(format!("{value:?}")));
        let gap = if std::mem::take(&mut self.first) { "" } else { " " };
        self.written = match field.name() {
            "message" => write!(self.writer, "{gap}{value}"),
            name => write!(self.writer, "{gap}{}={value}", name.trim_start_matches("r#")),
        };
    }
}

impl<'writer> FormatFields<'writer> for PrettyFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut visitor = PrettyVisitor { writer, first: true, written: Ok(()) };
        fields.record(&mut visitor);
        visitor.written
    }
}
