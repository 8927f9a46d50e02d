//! Amazon S3 and services that speak its language.

use super::client::{Direct, options, retries, secret};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How we reach an S3 service.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct S3Settings {
    /// Endpoint URL; without it, Amazon's own.
    pub endpoint: Option<String>,
    pub region: Option<String>,
    /// Access key id; without it, the platform's own credentials are used.
    pub access_key_id: Option<String>,
    /// File that holds the secret access key and nothing else.
    pub secret_access_key_file: Option<PathBuf>,
    /// Whether plain HTTP is allowed, as for a test server.
    pub allow_http: bool,
}

/// A client for one bucket.
pub fn s3(settings: &S3Settings, bucket: &str) -> Result<AmazonS3, String> {
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_client_options(options(settings.allow_http))
        .with_http_connector(Direct)
        .with_retry(retries())
        .with_region(settings.region.clone().unwrap_or_else(|| "us-east-1".to_owned()));
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint).with_virtual_hosted_style_request(false);
    }
    if let Some(id) = &settings.access_key_id {
        builder = builder.with_access_key_id(id);
    }
    if let Some(path) = &settings.secret_access_key_file {
        builder = builder.with_secret_access_key(secret("secret_access_key_file", path)?);
    }
    builder.with_allow_http(settings.allow_http).build().map_err(|error| error.to_string())
}
