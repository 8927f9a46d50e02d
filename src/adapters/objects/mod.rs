//! Clients of object stores, for the two adapters that use them: evidence and dataset.
//!
//! Guarantees: one client reads one bucket or container of one service. A redirect is an error, because the reference
//! must name the location that is read. Retries are few and short, because the caller tries again. Never: guesses
//! credentials of another account, follows a redirect.

mod trouble;

pub use trouble::{StoreTrouble, is_exhausted};

use crate::secret::Secret;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::{ClientConfigKey, HttpClient, HttpConnector};
use object_store::{BackoffConfig, ClientOptions, Error, ObjectStore, RetryConfig};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Clone, Copy)]
pub struct Services<'a> {
    pub s3: &'a S3Settings,
    pub gcs: &'a GcsSettings,
    pub azure: &'a AzureSettings,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct S3Settings {
    /// Endpoint URL. `None` means Amazon's endpoint.
    pub endpoint: Option<String>,
    /// `None` means `us-east-1`.
    pub region: Option<String>,
    /// Access key id. `None` means the credentials that the platform gives this machine.
    pub access_key_id: Option<String>,
    pub secret_access_key_file: Option<PathBuf>,
    /// Whether plain HTTP is allowed, for example to a test server.
    pub allow_http: bool,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct GcsSettings {
    /// Endpoint URL. `None` means Google's endpoint.
    pub endpoint: Option<String>,
    /// File with a service account's key. `None` means the credentials that the platform gives this machine.
    pub service_account_file: Option<PathBuf>,
    /// Whether requests carry no credentials, as for public buckets and test servers.
    pub anonymous: bool,
    /// Whether plain HTTP is allowed, for example to a test server.
    pub allow_http: bool,
}

/// Settings of Azure Blob Storage. The bucket of an `az://` reference is a container of this account.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AzureSettings {
    /// Storage account. Required for `az://` references.
    pub account: Option<String>,
    /// Endpoint URL. `None` means the account's endpoint at Azure.
    pub endpoint: Option<String>,
    /// File with an access key of the account. `None` means the credentials that the platform gives this machine.
    pub access_key_file: Option<PathBuf>,
    /// Whether requests carry no credentials, as for public containers and test servers.
    pub anonymous: bool,
    /// Whether plain HTTP is allowed, for example to a test server.
    pub allow_http: bool,
}

/// Opens a client for one bucket or container of the service that the scheme names.
pub fn open(services: Services<'_>, scheme: &str, bucket: &str) -> Result<Arc<dyn ObjectStore>, String> {
    is_built_in(scheme)?;
    #[cfg(feature = "gcp")]
    if scheme == "gs" {
        return gcs(services.gcs, bucket);
    }
    #[cfg(feature = "azure")]
    if scheme == "az" {
        return azure(services.azure, bucket);
    }
    Ok(Arc::new(s3(services.s3, bucket)?))
}

/// Returns an error if this build has no client for the scheme. The error names the feature to build with.
pub fn is_built_in(scheme: &str) -> Result<(), String> {
    match scheme {
        "s3" => Ok(()),
        "gs" if cfg!(feature = "gcp") => Ok(()),
        "az" if cfg!(feature = "azure") => Ok(()),
        "gs" => Err("this build does not read gs://; build it with `--features gcp`".to_owned()),
        "az" => Err("this build does not read az://; build it with `--features azure`".to_owned()),
        other => Err(format!("there is no object store for {other}://")),
    }
}

/// Opens a client for one bucket of an S3 service.
pub fn s3(settings: &S3Settings, bucket: &str) -> Result<AmazonS3, String> {
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_client_options(ClientOptions::new().with_allow_http(settings.allow_http))
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

#[cfg(feature = "gcp")]
fn gcs(settings: &GcsSettings, bucket: &str) -> Result<Arc<dyn ObjectStore>, String> {
    let mut builder = object_store::gcp::GoogleCloudStorageBuilder::new()
        .with_bucket_name(bucket)
        .with_client_options(ClientOptions::new().with_allow_http(settings.allow_http))
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

#[cfg(feature = "azure")]
fn azure(settings: &AzureSettings, container: &str) -> Result<Arc<dyn ObjectStore>, String> {
    let account = settings.account.as_ref().ok_or("az:// needs a storage account ([inputs.azure] account)")?;
    let mut builder = object_store::azure::MicrosoftAzureBuilder::new()
        .with_account(account)
        .with_container_name(container)
        .with_client_options(ClientOptions::new().with_allow_http(settings.allow_http))
        .with_http_connector(Direct)
        .with_retry(retries())
        .with_skip_signature(settings.anonymous);
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    if let Some(path) = &settings.access_key_file {
        builder = builder.with_access_key(secret("access_key_file", path)?);
    }
    Ok(Arc::new(builder.with_allow_http(settings.allow_http).build().map_err(|error| error.to_string())?))
}

/// An HTTP connector that follows no redirect. The connector of `object_store` would follow redirects to any host.
#[derive(Debug)]
struct Direct;

impl HttpConnector for Direct {
    /// Uses only the option `allow_http`. The clients of `object_store` set this option themselves if the platform
    /// gives out credentials over HTTP.
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let plain = options.get_config_value(&ClientConfigKey::AllowHttp).is_some_and(|value| value == "true");
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .https_only(!plain)
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_mins(2))
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            // Turns compression off: the bytes that are hashed must be the bytes that are stored.
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .build()
            .map_err(|error| Error::Generic { store: "HTTP", source: Box::new(error) })?;
        Ok(HttpClient::new(client))
    }
}

/// Retries cover short errors. During a longer outage the caller gives up, and the run waits in the queue.
fn retries() -> RetryConfig {
    RetryConfig { max_retries: 4, retry_timeout: Duration::from_secs(20), backoff: BackoffConfig::default() }
}

/// Reads a key or token from its file. Trims white space at both ends, because it is never part of a key.
fn secret(key: &str, path: &Path) -> Result<String, String> {
    let secret = Secret::from_file(path).map_err(|why| format!("{key}: {why}"))?;
    Ok(secret.reveal().trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_without_its_feature_says_how_to_get_it() {
        assert!(is_built_in("s3").is_ok());
        for (scheme, built, feature) in [("gs", cfg!(feature = "gcp"), "gcp"), ("az", cfg!(feature = "azure"), "azure")]
        {
            let (s3, gcs, azure) = (S3Settings::default(), GcsSettings::default(), AzureSettings::default());
            let opened = open(Services { s3: &s3, gcs: &gcs, azure: &azure }, scheme, "bucket");
            match is_built_in(scheme) {
                Ok(()) => assert!(built),
                Err(why) => {
                    assert!(!built && why.contains(&format!("--features {feature}")), "{why}");
                    assert_eq!(opened.err(), Some(why));
                }
            }
        }
    }
}
