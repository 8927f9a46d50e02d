//! The pipeline of spans: batches from a bounded queue, sent as OTLP over HTTP by a thread of its own.
//!
//! Guarantees: nothing here blocks or fails a run; spans that do not fit into the queue are dropped. Never: takes a
//! setting from the environment.

use super::receiver::{PATIENCE, Receiver};
use super::sampler::RequesterSampler;
use super::settings::TelemetrySettings;
use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, SpanLimits};
use std::time::Duration;

/// Spans that wait at the most: two for each record of two batches of intake, and then some.
const QUEUE: usize = 8_192;
const BATCH: usize = 512;
const EVERY: Duration = Duration::from_secs(1);

/// Builds the provider that sends the spans of the worker `instance`; none where no endpoint is configured.
pub fn provider(settings: &TelemetrySettings, instance: &str) -> Result<Option<SdkTracerProvider>, String> {
    let Some(url) = settings.traces_url()? else { return Ok(None) };
    // Every value is set, so that the libraries take none from the environment.
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
