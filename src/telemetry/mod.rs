//! Telemetry: logs by `tracing` to standard error, and traces by OTLP where an endpoint is configured.
//!
//! Guarantees: text of others is bounded and escaped before it is logged; what cannot be sent is dropped, and no run
//! waits for it or fails by it. Never: decides anything; reads the environment; records a span where no endpoint is
//! configured.

mod export;
mod lines;
mod settings;
mod spans;
mod text;

pub use settings::TelemetrySettings;
pub use spans::{ChildSpan, OpenSpan, Received, Sending, fail, hang, note, received, sending};

use lines::{JsonFields, JsonLines, PrettyFields};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tracing::Metadata;
use tracing_subscriber::filter::{FilterExt as _, LevelFilter, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

/// How logs look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// What runs until it is dropped: then every span that ended is sent, within a bound.
#[must_use = "spans are sent until it is dropped"]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

/// How long the last spans may take.
const LAST_SPANS: Duration = Duration::from_secs(3);

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(provider) = self.provider.take() {
            // Whoever ends is not held up by it, and the outage was told.
            let _ = provider.shutdown_with_timeout(LAST_SPANS);
        }
    }
}

/// Starts telemetry for the whole process, a worker of this name. A filter that does not parse is an error with
/// its text.
pub fn start(
    format: LogFormat,
    filter: &str,
    settings: &TelemetrySettings,
    instance: &str,
) -> anyhow::Result<Telemetry> {
    let wanted = EnvFilter::try_new(filter)
        .map_err(|error| anyhow::anyhow!("worker.log = {filter:?} is not a filter: {error}"))?;
    // What a line belongs to is said also where only warnings are wanted.
    let wanted = wanted.or(filter_fn(is_own_span).with_max_level_hint(LevelFilter::INFO));
    let provider = export::provider(settings, instance).map_err(|why| anyhow::anyhow!("[telemetry] {why}"))?;
    let traces = provider.as_ref().map(|provider| {
        let tracer = provider.tracer("model-factory");
        spans::record(tracer.clone(), settings);
        tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_target(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(is_own_span).with_max_level_hint(LevelFilter::INFO))
    });
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Pretty => Box::new(
            fmt::layer()
                .with_writer(std::io::stderr)
                .with_ansi(console::colors_enabled_stderr())
                .with_target(false)
                .fmt_fields(PrettyFields)
                .with_filter(wanted),
        ),
        LogFormat::Json => Box::new(
            fmt::layer()
                .with_writer(std::io::stderr)
                .with_ansi(false)
                .fmt_fields(JsonFields)
                .event_format(JsonLines)
                .with_filter(wanted),
        ),
    };
    tracing_subscriber::registry()
        .with(lines)
        .with(traces)
        .try_init()
        .map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))?;
    Ok(Telemetry { provider })
}

/// Spans of a run and its stages; not those of libraries.
fn is_own_span(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target().starts_with("model_factory")
}

/// Whether the configured receiver answers; none where none is configured. Waits for the network.
pub fn ask_receiver(settings: &TelemetrySettings) -> Option<Result<String, String>> {
    let url = match settings.traces_url() {
        Ok(url) => url?,
        Err(why) => return Some(Err(why)),
    };
    Some(export::Sender::new(settings).and_then(|sender| sender.ask(url.as_str())).map(|()| url.to_string()))
}
