//! Telemetry: logs by `tracing` to standard error, and traces by OTLP where an endpoint is configured.
//!
//! Guarantees: text of others is bounded and escaped before it is logged; what cannot be sent is dropped, and no run
//! waits for it or fails by it. Never: decides anything; reads the environment; records a span where no endpoint is
//! configured.

pub mod metrics;

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
use tracing_subscriber::fmt::MakeWriter;
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
    let coloured = console::colors_enabled_stderr();
    tracing_subscriber::registry()
        .with(log(format, coloured, std::io::stderr).with_filter(wanted))
        .with(traces)
        .try_init()
        .map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))?;
    Ok(Telemetry { provider })
}

/// Lines in this format.
fn log<W>(format: LogFormat, coloured: bool, writer: W) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let layer = fmt::layer().with_writer(writer);
    match format {
        LogFormat::Pretty => layer.with_ansi(coloured).with_target(false).fmt_fields(PrettyFields).boxed(),
        LogFormat::Json => layer.with_ansi(false).fmt_fields(JsonFields).event_format(JsonLines).boxed(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::io;
    use std::sync::{Arc, Mutex};
    use tracing::{error, info_span};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Written {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    const HOSTILE: &str =
        "eve\n{\"level\":\"ERROR\"}\r\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}gnp.exe\u{2066}\u{85}\u{2028}";

    /// What is written of hostile text in a span's field, an event's fields of every kind, and its message.
    fn written(format: LogFormat) -> String {
        let written = Written::default();
        let subscriber = tracing_subscriber::registry().with(log(format, false, written.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let long = HOSTILE.repeat(200);
            let span = info_span!("run", otel.name = "hidden", run.id = "tr_1", requester = HOSTILE).entered();
            info_span!("stage", run.stage = "train")
                .in_scope(|| error!(reason = %HOSTILE, said = ?HOSTILE, long, count = 3, "failed: {HOSTILE}"));
            drop(span);
        });
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn check_harmless(line: &str) {
        let bad = |c: &char| c.is_control() || "\u{202e}\u{2066}\u{2028}".contains(*c);
        assert_eq!(line.trim_end_matches('\n').chars().find(bad), None, "{line}");
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        assert!(line.len() < 8_000 && !line.contains("hidden"), "{}", line.len());
    }

    #[test]
    fn hostile_text_stays_one_harmless_line_for_people() {
        let line = written(LogFormat::Pretty);
        check_harmless(&line);
        assert!(line.contains(r"run{run.id=") && line.contains(r"failed: eve\n{"), "{line}");
        assert!(line.contains(r"\u{202e}gnp.exe") && line.contains("bytes)"), "{line}");
    }

    #[test]
    fn hostile_text_is_one_flat_json_object_and_reads_back() {
        let line = written(LogFormat::Json);
        check_harmless(&line);
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&line["requester"], &line["reason"]), (&HOSTILE.into(), &HOSTILE.into()));
        assert_eq!((&line["run.id"], &line["run.stage"], &line["count"]), (&"tr_1".into(), &"train".into(), &3.into()));
        assert_eq!((&line["level"], &line["message"]), (&"ERROR".into(), &format!("failed: {HOSTILE}").into()));
        assert!(line["long"].as_str().unwrap().ends_with(&format!("… ({} bytes)", HOSTILE.len() * 200)));
        assert!(line.as_object().unwrap().values().all(|value| !value.is_object() && !value.is_array()));
    }
}
