//! Spans on their way out: OTLP over HTTP from a thread of its own, with a bounded queue.
//!
//! Guarantees: nothing here blocks or fails a run; a receiver that is away costs one log line, and one when it is
//! back. Spans that do not fit into the queue are dropped. Never: follows a redirect or a proxy, which would carry
//! the headers elsewhere; sends a header that the configuration does not name.

use super::TelemetrySettings;
use opentelemetry::KeyValue;
use opentelemetry::trace::{Link, SpanKind, TraceContextExt as _, TraceId};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SamplingResult, SdkTracerProvider, ShouldSample, SpanLimits,
};
use reqwest::blocking::Client;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use reqwest::redirect::Policy;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tracing::{info, warn};

/// Spans that wait at the most: two for each record of two batches of intake, and then some.
const QUEUE: usize = 8_192;
const BATCH: usize = 512;
const EVERY: Duration = Duration::from_secs(1);
/// How long a receiver may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What sends spans, for a worker of this name; none where no endpoint is configured.
pub(super) fn provider(settings: &TelemetrySettings, instance: &str) -> Result<Option<SdkTracerProvider>, String> {
    let Some(url) = settings.traces_url()? else { return Ok(None) };
    // Whatever the libraries would take from the environment is said here.
    let exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(url.as_str())
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(PATIENCE)
        .with_http_client(Sender::new(settings)?)
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
        .with_sampler(Asked(settings.sampling_ratio))
        .with_span_limits(SpanLimits::default())
        .with_resource(resource)
        .build();
    Ok(Some(provider))
}

/// Samples as whoever asked did: the parent, or the request that a trace is linked to; of traces that are begun
/// here, a share.
#[derive(Debug, Clone)]
struct Asked(f64);

impl ShouldSample for Asked {
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
            [asked, ..] if !parent_decides && asked.span_context.is_sampled() => Sampler::AlwaysOn,
            [_, ..] if !parent_decides => Sampler::AlwaysOff,
            _ => Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(self.0))),
        };
        sampler.should_sample(parent, trace_id, name, kind, attributes, links)
    }
}

/// An HTTP client that tells the beginning and the end of an outage.
#[derive(Debug)]
pub(super) struct Sender {
    client: Client,
    headers: HeaderMap,
    is_down: AtomicBool,
}

impl Sender {
    pub(super) fn new(settings: &TelemetrySettings) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in settings.headers()? {
            let error = format!("otlp_headers: {name:?} or its value cannot be a header");
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| error.clone())?;
            let mut value = HeaderValue::from_str(&value).map_err(|_| error)?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let build = || Client::builder().timeout(PATIENCE).redirect(Policy::none()).no_proxy().build();
        // It has a runtime of its own, which must not be made within another.
        let made = std::thread::scope(|threads| threads.spawn(build).join());
        let client = made.map_err(|_| "the HTTP client could not be made")?.map_err(|error| error.to_string())?;
        Ok(Self { client, headers, is_down: AtomicBool::new(false) })
    }

    /// Whether the receiver takes a request without spans.
    pub(super) fn ask(&self, url: &str) -> Result<(), String> {
        let asking = self.client.post(url).headers(self.headers.clone());
        let answer = asking.header(CONTENT_TYPE, "application/x-protobuf").body(Vec::new()).send();
        match answer {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("it answers {}", answer.status())),
            Err(error) => Err(said(&error)),
        }
    }

    fn tell(&self, failed: Option<&str>) {
        match (failed, self.is_down.swap(failed.is_some(), Ordering::Relaxed)) {
            (Some(why), false) => warn!(why, "spans cannot be sent; they are dropped until the receiver answers"),
            (None, true) => info!("spans are sent again"),
            (Some(_), true) | (None, false) => {}
        }
    }
}

/// An error with what caused it.
fn said(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        said = format!("{said}: {error}");
        cause = error.source();
    }
    said
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>;

impl HttpClient for Sender {
    fn send_bytes<'this, 'answer>(&'this self, mut request: Request<Bytes>) -> Answer<'answer>
    where
        'this: 'answer,
        Self: 'answer,
    {
        let headers = std::mem::replace(request.headers_mut(), self.headers.clone());
        for name in [CONTENT_TYPE, USER_AGENT] {
            if let Some(value) = headers.get(&name) {
                request.headers_mut().insert(name, value.clone());
            }
        }
        Box::pin(async move {
            let answer = self.client.send_bytes(request).await;
            match &answer {
                Ok(answer) if answer.status().is_success() => self.tell(None),
                Ok(answer) => self.tell(Some(&format!("the receiver answers {}", answer.status()))),
                Err(error) => self.tell(Some(&said(error.as_ref()))),
            }
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use futures::FutureExt as _;
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceState};
    use opentelemetry_sdk::trace::SamplingDecision;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    fn context(sampled: bool) -> SpanContext {
        let flags = if sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        SpanContext::new(TraceId::from(1), SpanId::from(2), flags, true, TraceState::default())
    }

    #[test]
    fn whoever_asked_decides_and_of_what_begins_here_a_share_is_recorded() {
        let recorded = |ratio: f64, parent: Option<bool>, link: Option<bool>| {
            let parent = parent.map(|sampled| opentelemetry::Context::new().with_remote_span_context(context(sampled)));
            let links: Vec<Link> = link.map(|sampled| Link::with_context(context(sampled))).into_iter().collect();
            let sampled = Asked(ratio).should_sample(
                parent.as_ref(),
                TraceId::from(u128::MAX),
                "work",
                &SpanKind::Internal,
                &[],
                &links,
            );
            sampled.decision == SamplingDecision::RecordAndSample
        };
        for (ratio, asked) in [(0.0, true), (1.0, false)] {
            assert_eq!(recorded(ratio, Some(asked), None), asked, "a parent");
            assert_eq!(recorded(ratio, None, Some(asked)), asked, "a link");
            assert_eq!(recorded(ratio, Some(asked), Some(!asked)), asked, "a parent with a link");
            assert_eq!(recorded(ratio, None, None), !asked, "nobody");
        }
    }

    #[test]
    fn only_the_configuration_s_headers_are_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut heard = Vec::new();
            while !heard.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                heard.extend(byte);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
            String::from_utf8(heard).unwrap()
        });
        let otlp_headers = Some(Secret::new("api-key=ours".to_owned()));
        let sender = Sender::new(&TelemetrySettings { otlp_headers, ..TelemetrySettings::default() }).unwrap();
        let request = Request::post(url).header("content-type", "application/x-protobuf").header("x-strange", "theirs");
        let answer = sender.send_bytes(request.body(Bytes::new()).unwrap()).now_or_never().unwrap();
        assert!(answer.unwrap().status().is_success());
        let heard = answering.join().unwrap();
        assert!(heard.contains("api-key: ours") && heard.contains("application/x-protobuf"), "{heard}");
        assert!(!heard.contains("theirs"), "{heard}");
        assert!(!format!("{sender:?}").contains("ours"), "a header is never printed");
    }
}
