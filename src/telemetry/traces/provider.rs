//! Builds the pipeline of spans. A sampler decides which traces are recorded. A separate thread sends batches of spans
//! from a bounded queue as OTLP over HTTP.
//!
//! Guarantees: this file neither blocks a run nor lets it fail. Spans that do not fit into the queue are dropped.
//! Never: takes a setting from the environment.

use super::receiver::{PATIENCE, Receiver};
use super::settings::TelemetrySettings;
use opentelemetry::KeyValue;
use opentelemetry::trace::{Link, SpanKind, TraceContextExt as _, TraceId};
use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SamplingResult, SdkTracerProvider, ShouldSample, SpanLimits,
};
use std::time::Duration;

/// The most spans that wait to be sent: two for each record of two batches of intake, and some more.
const QUEUE: usize = 8_192;
const BATCH: usize = 512;
const EVERY: Duration = Duration::from_secs(1);

/// Builds the provider that sends the spans of the worker `instance`. `None` if no endpoint is configured.
pub fn provider(settings: &TelemetrySettings, instance: &str) -> Result<Option<SdkTracerProvider>, String> {
    let Some(url) = settings.traces_url()? else { return Ok(None) };
    // Every value is set, so that the OpenTelemetry libraries take none from the environment.
    let exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(url.as_str())
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(PATIENCE)
        .with_http_client(Receiver::new(settings)?)
        .with_retry_policy(RetryPolicy::recommended().with_max_retries(1))
        .build()
        .map_err(|error| error.to_string())?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(EVERY)
        .build();
    let resource = Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", "model-factory"),
            KeyValue::new("service.version", crate::version::VERSION),
            KeyValue::new("service.instance.id", instance.to_owned()),
        ])
        .build();
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(processor)
        .with_sampler(RequesterSampler(settings.sampling_ratio))
        .with_span_limits(SpanLimits::default())
        .with_resource(resource)
        .build();
    Ok(Some(provider))
}

/// Decides whether a trace is recorded. A span with a parent follows the parent's decision. A span without a parent
/// follows the decision of the linked request. Of traces with neither, records the given share, 0 to 1.
#[derive(Debug, Clone)]
struct RequesterSampler(f64);

impl ShouldSample for RequesterSampler {
    fn should_sample(
        &self,
        parent: Option<&opentelemetry::Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let parent_decides = parent.is_some_and(|parent| parent.span().span_context().is_valid());
        let sampler = match links {
            [request, ..] if !parent_decides && request.span_context.is_sampled() => Sampler::AlwaysOn,
            [_, ..] if !parent_decides => Sampler::AlwaysOff,
            _ => Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(self.0))),
        };
        sampler.should_sample(parent, trace_id, name, kind, attributes, links)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceState};
    use opentelemetry_sdk::trace::SamplingDecision;

    fn context(sampled: bool) -> SpanContext {
        let flags = if sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        SpanContext::new(TraceId::from(1), SpanId::from(2), flags, true, TraceState::default())
    }

    #[test]
    fn whoever_asked_decides_and_of_what_begins_here_a_share_is_recorded() {
        let recorded = |ratio: f64, parent: Option<bool>, link: Option<bool>| {
            let parent = parent.map(|sampled| opentelemetry::Context::new().with_remote_span_context(context(sampled)));
            let links: Vec<Link> = link.map(|sampled| Link::with_context(context(sampled))).into_iter().collect();
            let sampled = RequesterSampler(ratio).should_sample(
                parent.as_ref(),
                TraceId::from(u128::MAX),
                "work",
                &SpanKind::Internal,
                &[],
                &links,
            );
            sampled.decision == SamplingDecision::RecordAndSample
        };
        for (ratio, sampled) in [(0.0, true), (1.0, false)] {
            assert_eq!(recorded(ratio, Some(sampled), None), sampled, "a parent");
            assert_eq!(recorded(ratio, None, Some(sampled)), sampled, "a link");
            assert_eq!(recorded(ratio, Some(sampled), Some(!sampled)), sampled, "a parent with a link");
            assert_eq!(recorded(ratio, None, None), !sampled, "nobody");
        }
    }
}
