//! `[inputs]` of the configuration: what may be read.

use crate::adapters::objects::{AzureSettings, GcsSettings, S3Settings};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct InputSettings {
    /// Folder where relative references start; without it, they are refused.
    pub root: Option<PathBuf>,
    /// Prefixes of references that may be opened: `file:///data`, `s3://bucket/prefix`, `gs://…`, `az://…`.
    pub allow: Vec<String>,
    /// Bytes of the largest manifest or profile.
    pub max_document_bytes: u64,
    pub s3: S3Settings,
    pub gcs: GcsSettings,
    pub azure: AzureSettings,
}

impl Default for InputSettings {
    fn default() -> Self {
        Self {
            root: None,
            allow: Vec::new(),
            max_document_bytes: 4 * 1024 * 1024,
            s3: S3Settings::default(),
            gcs: GcsSettings::default(),
            azure: AzureSettings::default(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum InputSettingsError {
    /// The folder does not exist, or cannot be entered.
    #[error("[inputs] {key}: {folder} cannot be used: {error}")]
    Folder { key: &'static str, folder: PathBuf, error: std::io::Error },
    /// A prefix that is malformed, or that this build cannot read.
    #[error("[inputs] allow: {0}")]
    Prefix(String),
}
