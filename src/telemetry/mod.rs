//! Writes logs by `tracing` to standard error, sends traces by OTLP if an endpoint is configured, and holds metrics.
//!
//! Guarantees: text from outside is bounded and escaped before it is logged. Spans that cannot be sent are dropped, and
//! no run waits for them or fails because of them. Never: decides anything, reads the environment, or records a span if
//! no endpoint is configured.

pub mod metrics;

mod logs;
mod plain_text;
mod traces;

pub use logs::LogFormat;
pub use plain_text::{plain, plain_json};
pub use traces::{
    ChildSpan, OpenSpan, Received, Sending, TelemetrySettings, check_receiver, process_span, record_attribute,
    record_failure, send_span, set_parent,
};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::time::Duration;
use tracing::Metadata;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{DynFilterFn, FilterExt as _, LevelFilter, filter_fn};
use tracing_subscriber::layer::{Context, Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// Sends spans until this value is dropped. Dropping it waits up to `LAST_SPANS` until every ended span is sent.
#[must_use = "spans are sent until it is dropped"]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

/// Upper bound on how long the drop of [`Telemetry`] waits for the receiver to accept the last spans.
const LAST_SPANS: Duration = Duration::from_secs(3);

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(provider) = self.provider.take() {
            // The error is ignored: the outage was logged when a span could not be sent.
            let _ = provider.shutdown_with_timeout(LAST_SPANS);
        }
    }
}

/// Starts logs and traces for the whole process. `instance` is the worker's name. Returns an error that quotes `filter`
/// if `filter` cannot be parsed.
pub fn start(
    format: LogFormat,
    filter: &str,
    settings: &TelemetrySettings,
    instance: &str,
) -> anyhow::Result<Telemetry> {
    let wanted = EnvFilter::try_new(filter)
        .map_err(|error| anyhow::anyhow!("worker.log = {filter:?} is not a filter: {error}"))?;
    // Log lines take the run's id from spans, so our spans stay enabled even if the filter shows only warnings.
    let wanted = wanted.or(filter_fn(is_own_span).with_max_level_hint(LevelFilter::INFO));
    let provider = traces::provider(settings, instance).map_err(|why| anyhow::anyhow!("[telemetry] {why}"))?;
    let traces = provider.as_ref().map(|provider| {
        let tracer = provider.tracer("model-factory");
        traces::install(tracer.clone(), settings);
        tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_target(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(own_spans())
    });
    let coloured = console::colors_enabled_stderr();
    tracing_subscriber::registry()
        .with(logs::layer(format, coloured, std::io::stderr).with_filter(wanted))
        .with(traces)
        .try_init()
        .map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))?;
    Ok(Telemetry { provider })
}

/// The filter of the layer that records spans.
///
/// The filter is dynamic: `tracing` asks it anew for every span. A filter with a cached answer would lose spans.
/// `tracing::enabled!`, which the Kafka client calls when it is configured, leaves the answers of the filters on its
/// thread, and `tracing` would judge the thread's next span by these.
fn own_spans<S>() -> DynFilterFn<S> {
    fn is_recorded<S>(metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        is_own_span(metadata)
    }
    DynFilterFn::new(is_recorded as fn(&Metadata<'_>, &Context<'_, S>) -> bool).with_max_level_hint(LevelFilter::INFO)
}

/// Returns true for a span of Model Factory's own code. Spans of libraries are left out.
fn is_own_span(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target().starts_with("model_factory")
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::TraceContextExt as _;
    use tracing::{Level, enabled, info_span, subscriber};
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;

    #[test]
    fn a_span_is_recorded_after_the_kafka_client_asked_what_is_logged() {
        let provider = SdkTracerProvider::builder().build();
        let traces = tracing_opentelemetry::layer().with_tracer(provider.tracer("test")).with_filter(own_spans());
        let logs = tracing_subscriber::fmt::layer().with_writer(std::io::sink).with_filter(LevelFilter::INFO);
        subscriber::with_default(tracing_subscriber::registry().with(logs).with(traces), || {
            for _ in 0..2 {
                // The first span registers its callsite, so that only the second one meets a cached answer.
                assert!(enabled!(target: "librdkafka", Level::INFO));
                let span = info_span!("stage");
                assert!(span.context().span().span_context().is_valid());
            }
        });
    }
}
