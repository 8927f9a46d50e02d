//! What the clients of every service share: HTTP without redirects, few retries, secrets from files.

use crate::secret::Secret;
use object_store::client::{ClientConfigKey, HttpClient, HttpConnector};
use object_store::{BackoffConfig, ClientOptions, Error, Result, RetryConfig};
use std::path::Path;
use std::time::Duration;

/// HTTP that follows no redirect. The library's own connector follows them wherever they lead.
#[derive(Debug)]
pub(super) struct Direct;

impl HttpConnector for Direct {
    /// Only `allow_http` of the options counts. The clients set it themselves where a platform hands out
    /// credentials.
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        let plain = options.get_config_value(&ClientConfigKey::AllowHttp).is_some_and(|value| value == "true");
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .https_only(!plain)
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_mins(2))
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            // The bytes that are hashed must be the bytes that are stored.
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .build()
            .map_err(|error| Error::Generic { store: "HTTP", source: Box::new(error) })?;
        Ok(HttpClient::new(client))
    }
}

pub(super) fn options(allow_http: bool) -> ClientOptions {
    ClientOptions::new().with_allow_http(allow_http)
}

/// Retries bridge a hiccup. While a service is away for longer, the run waits in the queue.
pub(super) fn retries() -> RetryConfig {
    RetryConfig { max_retries: 4, retry_timeout: Duration::from_secs(20), backoff: BackoffConfig::default() }
}

/// A key or token from its file. Unlike a password, it neither begins nor ends with a space.
pub(super) fn secret(key: &str, path: &Path) -> std::result::Result<String, String> {
    let secret = Secret::from_file(path).map_err(|why| format!("{key}: {why}"))?;
    Ok(secret.reveal().trim().to_owned())
}
