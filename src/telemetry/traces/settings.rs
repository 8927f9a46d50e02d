//! Defines the section `[telemetry]`: whether spans are sent, where to, and how many.

use crate::secret::Secret;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use url::Url;

/// Says where and how traces are sent by OTLP over HTTP. Without an endpoint nothing is recorded.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetrySettings {
    /// The base URL of the receiver, for example `http://collector:4318`. Spans are posted to `/v1/traces` below the
    /// base URL.
    pub otlp_endpoint: Option<String>,
    /// The whole URL for spans. If both URLs are set, this one is used.
    pub otlp_traces_endpoint: Option<String>,
    /// The headers of every request, as `name=value,name=value`. Values may be percent-encoded.
    pub otlp_headers: Option<Secret>,
    /// A file with the headers, in the format of `otlp_headers`. At most one of the two keys may be set.
    pub otlp_headers_file: Option<PathBuf>,
    /// The share of the traces begun by the worker that is recorded, 0 to 1. A requester's own decision takes
    /// precedence.
    pub sampling_ratio: f64,
    /// If a run was queued for more than this many seconds, its attempt begins a new trace, linked to the request's
    /// trace.
    pub link_after_seconds: u32,
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            otlp_traces_endpoint: None,
            otlp_headers: None,
            otlp_headers_file: None,
            sampling_ratio: 1.0,
            link_after_seconds: 3_600,
        }
    }
}

impl TelemetrySettings {
    /// Returns the URL that spans are posted to. `None` if no endpoint is set. The error names the key whose value is
    /// not an HTTP URL.
    pub fn traces_url(&self) -> Result<Option<Url>, String> {
        let parse = |key: &str, text: &str| {
            let url = Url::parse(text).map_err(|error| format!("{key}: {error}"))?;
            match url.scheme() {
                "http" | "https" if url.has_host() => Ok(url),
                _ => Err(format!("{key}: it must start with http:// or https://")),
            }
        };
        if let Some(text) = &self.otlp_traces_endpoint {
            return parse("otlp_traces_endpoint", text).map(Some);
        }
        let Some(text) = &self.otlp_endpoint else { return Ok(None) };
        let mut url = parse("otlp_endpoint", text)?;
        let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Ok(Some(url))
    }

    pub(super) fn headers(&self) -> Result<Vec<(String, String)>, String> {
        let configured = match (&self.otlp_headers, &self.otlp_headers_file) {
            (Some(headers), _) => headers.clone(),
            (None, Some(path)) => Secret::from_file(path).map_err(|why| format!("otlp_headers_file: {why}"))?,
            (None, None) => return Ok(Vec::new()),
        };
        // The headers are secret. Therefore an error gives the number of the bad entry, not its text.
        let wrong = |index: usize| format!("otlp_headers: entry {} is not name=value", index + 1);
        let entries = configured.reveal().split(',').map(str::trim).filter(|entry| !entry.is_empty()).enumerate();
        let header = |(index, entry): (usize, &str)| {
            let (name, value) = entry.split_once('=').ok_or_else(|| wrong(index))?;
            let value = percent_decoded(value.trim()).ok_or_else(|| wrong(index))?;
            Ok((name.trim().to_owned(), value))
        };
        entries.map(header).collect()
    }
}

/// Decodes percent escapes such as `%20`. `None` if a digit is missing or wrong, or if the bytes are not UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(endpoint: &str) -> Result<Option<String>, String> {
        let settings = TelemetrySettings { otlp_endpoint: Some(endpoint.to_owned()), ..TelemetrySettings::default() };
        settings.traces_url().map(|url| url.map(String::from))
    }

    #[test]
    fn a_base_url_gets_the_path_and_a_whole_one_is_taken_as_it_is() {
        assert_eq!(TelemetrySettings::default().traces_url(), Ok(None));
        assert_eq!(url("http://c:4318").unwrap().unwrap(), "http://c:4318/v1/traces");
        assert_eq!(url("https://c/otlp/").unwrap().unwrap(), "https://c/otlp/v1/traces");
        assert!(url("c:4318").is_err() && url("grpc://c:4317").is_err() && url("http://").is_err());
        let whole = TelemetrySettings {
            otlp_endpoint: Some("http://other".to_owned()),
            otlp_traces_endpoint: Some("http://c:4318/in".to_owned()),
            ..TelemetrySettings::default()
        };
        assert_eq!(whole.traces_url().unwrap().unwrap().as_str(), "http://c:4318/in");
    }

    #[test]
    fn headers_are_pairs_and_a_fault_does_not_quote_them() {
        let headers = |text: &str| {
            let otlp_headers = Some(Secret::new(text.to_owned()));
            TelemetrySettings { otlp_headers, ..TelemetrySettings::default() }.headers()
        };
        let expected = [("api-key".to_owned(), "a=b".to_owned()), ("authorization".to_owned(), "Basic x".to_owned())];
        assert_eq!(headers("api-key=a=b, authorization=Basic%20x,").unwrap(), expected);
        for bad in ["a=1,hush", "a=1,hush=%zz", "a=1,hush=%2"] {
            let error = headers(bad).unwrap_err();
            assert!(error.contains("entry 2") && !error.contains("hush"), "{error}");
        }
    }
}
