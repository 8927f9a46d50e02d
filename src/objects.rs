//! S3 clients, for the two rooms that talk to object stores: evidence and dataset.

use object_store::ClientOptions;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// How an S3 service is reached.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub struct S3Settings {
    /// Endpoint URL; without it Amazon's own.
    pub endpoint: Option<String>,
    /// Region.
    pub region: Option<String>,
    /// Access key id; without it the platform's own credentials are used.
    pub access_key_id: Option<String>,
    /// File that holds the secret access key and nothing else.
    pub secret_access_key_file: Option<PathBuf>,
    /// Whether plain HTTP is fine, as for a test server.
    pub allow_http: bool,
}

/// A client for one bucket. Redirects are not followed: a reference names the place that is read.
pub fn s3(settings: &S3Settings, bucket: &str) -> Result<AmazonS3, String> {
    let options = ClientOptions::new().with_timeout(Duration::from_mins(2)).with_allow_http(settings.allow_http);
    let mut builder = AmazonS3Builder::new().with_bucket_name(bucket).with_client_options(options);
    builder = builder.with_region(settings.region.clone().unwrap_or_else(|| "us-east-1".to_owned()));
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint).with_virtual_hosted_style_request(false);
    }
    if let Some(id) = &settings.access_key_id {
        builder = builder.with_access_key_id(id);
    }
    if let Some(path) = &settings.secret_access_key_file {
        let secret = std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read secret_access_key_file {}: {error}", path.display()))?;
        builder = builder.with_secret_access_key(secret.trim());
    }
    builder.with_allow_http(settings.allow_http).build().map_err(|error| error.to_string())
}
