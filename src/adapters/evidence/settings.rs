//! `[evidence]` of the configuration: where evidence goes.

use crate::adapters::objects::S3Settings;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvidenceSettings {
    /// `file:///folder` or `s3://bucket/prefix`.
    pub url: String,
    /// How we reach the S3 service of an `s3://` URL.
    pub s3: S3Settings,
}

impl Default for EvidenceSettings {
    fn default() -> Self {
        Self { url: "file:///var/lib/model-factory/evidence".to_owned(), s3: S3Settings::default() }
    }
}
