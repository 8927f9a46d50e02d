//! Posts spans by HTTP to the receiver, an OTLP collector.
//!
//! Guarantees: an outage of the receiver is logged once when it begins and once when it ends. Never: follows a redirect
//! or a proxy, which would send the headers to another server. Never: sends a header that the configuration does not
//! name.

use super::settings::TelemetrySettings;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use reqwest::blocking::Client;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use reqwest::redirect::Policy;
use std::error::Error;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tracing::{info, warn};

/// The timeout of a request to the receiver, and of a batch of spans with its retry.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Sends a request to the configured receiver. Returns the URL if it answered, otherwise why not. `None` if no endpoint
/// is configured. Blocks on the network.
pub fn check_receiver(settings: &TelemetrySettings) -> Option<Result<String, String>> {
    let url = match settings.traces_url() {
        Ok(url) => url?,
        Err(why) => return Some(Err(why)),
    };
    Some(Receiver::new(settings).and_then(|receiver| receiver.probe(url.as_str())).map(|()| url.to_string()))
}

/// The HTTP client for the receiver. It logs when an outage begins and when it ends.
#[derive(Debug)]
pub(super) struct Receiver {
    client: Client,
    headers: HeaderMap,
    is_down: AtomicBool,
}

impl Receiver {
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
        // The blocking client starts an async runtime, which panics inside another runtime. Therefore the client is
        // built on a thread of its own.
        let made = std::thread::scope(|threads| threads.spawn(build).join());
        let client = made.map_err(|_| "the HTTP client could not be made")?.map_err(|error| error.to_string())?;
        Ok(Self { client, headers, is_down: AtomicBool::new(false) })
    }

    /// Posts a request without spans. The error says why the receiver did not accept the request.
    pub(super) fn probe(&self, url: &str) -> Result<(), String> {
        let request = self.client.post(url).headers(self.headers.clone());
        let answer = request.header(CONTENT_TYPE, "application/x-protobuf").body(Vec::new()).send();
        match answer {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("it answers {}", answer.status())),
            Err(error) => Err(with_causes(&error)),
        }
    }

    fn log_outage(&self, failed: Option<&str>) {
        match (failed, self.is_down.swap(failed.is_some(), Ordering::Relaxed)) {
            (Some(why), false) => warn!(why, "spans cannot be sent; they are dropped until the receiver answers"),
            (None, true) => info!("spans are sent again"),
            (Some(_), true) | (None, false) => {}
        }
    }
}

/// Returns the text of an error and of its chain of causes.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |&error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

type ResponseFuture<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>;

impl HttpClient for Receiver {
    fn send_bytes<'this, 'answer>(&'this self, mut request: Request<Bytes>) -> ResponseFuture<'answer>
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
                Ok(answer) if answer.status().is_success() => self.log_outage(None),
                Ok(answer) => self.log_outage(Some(&format!("the receiver answers {}", answer.status()))),
                Err(error) => self.log_outage(Some(&with_causes(error.as_ref()))),
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
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    #[test]
    fn only_the_configuration_s_headers_are_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request_text = Vec::new();
            while !request_text.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request_text.extend(byte);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
            String::from_utf8(request_text).unwrap()
        });
        let otlp_headers = Some(Secret::new("api-key=ours".to_owned()));
        let receiver = Receiver::new(&TelemetrySettings { otlp_headers, ..TelemetrySettings::default() }).unwrap();
        let request = Request::post(url).header("content-type", "application/x-protobuf").header("x-strange", "theirs");
        let answer = receiver.send_bytes(request.body(Bytes::new()).unwrap()).now_or_never().unwrap();
        assert!(answer.unwrap().status().is_success());
        let request_text = answering.join().unwrap();
        assert!(
            request_text.contains("api-key: ours") && request_text.contains("application/x-protobuf"),
            "{request_text}"
        );
        assert!(!request_text.contains("theirs"), "{request_text}");
        assert!(!format!("{receiver:?}").contains("ours"), "a header is never printed");
    }
}
