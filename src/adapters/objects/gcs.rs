//! Google Cloud Storage, in builds with the feature `gcp`.

use object_store::ObjectStore;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;

/// How we reach Google Cloud Storage.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct GcsSettings {
    /// Endpoint URL; without it, Google's own.
    pub endpoint: Option<String>,
    /// File with a service account's key; without it, the platform's own credentials are used.
    pub service_account_file: Option<PathBuf>,
    /// Sends no credentials, as for public buckets and test servers.
    pub anonymous: bool,
    /// Whether plain HTTP is allowed, as for a test server.
    pub allow_http: bool,
}

/// A client for one bucket.
#[cfg(feature = "gcp")]
pub(super) fn gcs(settings: &GcsSettings, bucket: &str) -> Result<Arc<dyn ObjectStore>, String> {
    use super::client::{Direct, options, retries, secret};
    let mut builder = object_store::gcp::GoogleCloudStorageBuilder::new()
        .with_bucket_name(bucket)
        .with_client_options(options(settings.allow_http))
        .with_http_connector(Direct)
        .with_retry(retries())
        .with_skip_signature(settings.anonymous);
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_base_url(endpoint);
    }
    if let Some(path) = &settings.service_account_file {
        builder = builder.with_service_account_key(secret("service_account_file", path)?);
    }
    Ok(Arc::new(builder.build().map_err(|error| error.to_string())?))
}

#[cfg(not(feature = "gcp"))]
pub(super) fn gcs(_: &GcsSettings, _: &str) -> Result<Arc<dyn ObjectStore>, String> {
    Err("this build does not read gs://".to_owned())
}
