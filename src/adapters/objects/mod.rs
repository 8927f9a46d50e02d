//! Clients of object stores, for the two rooms that use them: evidence and dataset.
//!
//! Guarantees: one client reads one bucket or container of one service; a redirect is an error, since a reference
//! names the location that is read; retries are few and short, since the caller tries again.
//! Never: guesses credentials of another account, follows a redirect.

mod azure;
mod client;
mod gcs;
mod s3;

pub use azure::AzureSettings;
pub use gcs::GcsSettings;
pub use s3::{S3Settings, s3};

use object_store::ObjectStore;
use std::sync::Arc;

/// How we reach each service.
#[derive(Debug, Clone, Copy)]
pub struct Services<'a> {
    /// `s3://`.
    pub s3: &'a S3Settings,
    /// `gs://`.
    pub gcs: &'a GcsSettings,
    /// `az://`.
    pub azure: &'a AzureSettings,
}

/// A client for one bucket or container of the scheme's service.
pub fn open(services: Services<'_>, scheme: &str, bucket: &str) -> Result<Arc<dyn ObjectStore>, String> {
    is_built_in(scheme)?;
    match scheme {
        "s3" => Ok(Arc::new(s3(services.s3, bucket)?)),
        "gs" => gcs::gcs(services.gcs, bucket),
        _ => azure::azure(services.azure, bucket),
    }
}

/// Fails where this build has no client for the scheme, and says how to build one that has.
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
