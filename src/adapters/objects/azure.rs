//! Azure Blob Storage, in builds with the feature `azure`.

use object_store::ObjectStore;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;

/// How we reach Azure Blob Storage. A bucket of `az://` is a container of this account.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AzureSettings {
    /// Storage account; needed for `az://`.
    pub account: Option<String>,
    /// Endpoint URL; without it, the account's own.
    pub endpoint: Option<String>,
    /// File that holds an access key of the account and nothing else; without it, the platform's own credentials
    /// are used.
    pub access_key_file: Option<PathBuf>,
    /// Sends no credentials, as for public containers and test servers.
    pub anonymous: bool,
    /// Whether plain HTTP is allowed, as for a test server.
    pub allow_http: bool,
}

/// A client for one container.
#[cfg(feature = "azure")]
pub(super) fn azure(settings: &AzureSettings, container: &str) -> Result<Arc<dyn ObjectStore>, String> {
    use super::client::{Direct, options, retries, secret};
    let account = settings.account.as_ref().ok_or("az:// needs a storage account ([inputs.azure] account)")?;
    let mut builder = object_store::azure::MicrosoftAzureBuilder::new()
        .with_account(account)
        .with_container_name(container)
        .with_client_options(options(settings.allow_http))
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

#[cfg(not(feature = "azure"))]
pub(super) fn azure(_: &AzureSettings, _: &str) -> Result<Arc<dyn ObjectStore>, String> {
    Err("this build does not read az://".to_owned())
}
