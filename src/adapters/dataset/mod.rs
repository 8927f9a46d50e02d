//! Inputs by reference: allow-listed, fetched once, digests checked on the bytes that are used; Parquet in, columns
//! out.
//!
//! Guarantees: nothing outside the allow-list is opened, whatever links and dots say; a file that is handed on has
//! the digest that the manifest pins. Never: looks for the newest; decodes a data file outside the trainer's child
//! process.

mod exchange;
mod inputs;
mod local;
mod parquet;
mod scores;

pub use exchange::{LabelColumn, read_scores, write_rows};
pub use inputs::Inputs;
pub use local::Links;
pub use parquet::{RowBatch, RowsToScore, file_columns, read_table, room_mib};
pub use scores::{ScoreWriter, write_scores};

use crate::adapters::objects::{AzureSettings, GcsSettings, S3Settings};
use crate::domain::contract::Reference;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Why a reference could not be read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// It is outside the allow-list, or a link leads out of it.
    #[error("{reference} may not be opened: {why}")]
    NotAllowed { reference: String, why: String },
    #[error("{reference} was not found")]
    NotFound { reference: String },
    /// A passing error of the disk or the object store: try again.
    #[error("{reference} could not be read: {why}")]
    Unavailable { reference: String, why: String },
    #[error("{reference} has more than {limit} bytes")]
    TooLarge { reference: String, limit: u64 },
    /// Size or digest is not what the manifest pins.
    #[error("{reference}: expected {expected}, found {found}")]
    DigestMismatch { reference: String, expected: String, found: String },
}

impl InputError {
    fn not_allowed(reference: &Reference, why: &str) -> Self {
        Self::NotAllowed { reference: reference.to_string(), why: why.to_owned() }
    }

    fn not_found(reference: &Reference) -> Self {
        Self::NotFound { reference: reference.to_string() }
    }

    fn unavailable(reference: &Reference, why: impl std::fmt::Display) -> Self {
        Self::Unavailable { reference: reference.to_string(), why: why.to_string() }
    }
}

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
