//! HTTP without redirects. The object stores' own connector follows them, wherever they lead.

use object_store::client::{ClientConfigKey, HttpClient, HttpConnector};
use object_store::{ClientOptions, Error, Result};
use std::time::Duration;

/// Connects to the place that was asked for and to no other.
#[derive(Debug)]
pub(super) struct Direct;

impl HttpConnector for Direct {
    /// Of the options only plain HTTP is taken: the clients ask for it themselves where a platform hands
    /// out credentials.
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        let plain = options.get_config_value(&ClientConfigKey::AllowHttp).is_some_and(|value| value == "true");
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .https_only(!plain)
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_mins(2))
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            // The bytes that are hashed are the bytes that are stored.
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .build()
            .map_err(|error| Error::Generic { store: "HTTP", source: Box::new(error) })?;
        Ok(HttpClient::new(client))
    }
}
