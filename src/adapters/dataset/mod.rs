//! Inputs by reference. An allow-list says what may be opened. Digests are checked on the copy that is used. Parquet
//! files are decoded to columns.
//!
//! Guarantees: nothing outside the allow-list is opened, whatever links and dots are in a path. A file that is passed
//! on has the digest that the manifest pins. Never: looks for the newest version; decodes a data file outside the
//! trainer's child process.

mod documents;
mod exchange;
mod inputs;
mod local;
mod parquet;
mod scores;

pub use documents::DocumentReader;
pub use exchange::{LabelColumn, read_scores, write_rows};
pub use inputs::Inputs;
pub use local::Links;
pub use parquet::{RowBatch, RowsToScore, file_columns, read_table, room_mib};
pub use scores::{ScoreColumns, ScoreWriter, write_scores};

use crate::adapters::objects::{AzureSettings, GcsSettings, S3Settings, is_exhausted};
use crate::domain::contract::Reference;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Why a reference could not be read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The reference is outside the allow-list, or a symbolic link leads out of the allowed folders.
    #[error("{reference} may not be opened: {why}")]
    NotAllowed { reference: String, why: String },
    #[error("{reference} was not found")]
    NotFound { reference: String },
    /// A temporary error of the disk or object store. Trying again may succeed.
    #[error("{reference} could not be read: {why}")]
    Unavailable { reference: String, why: String },
    /// This machine has no descriptor, memory or disk left for the bytes. Trying again later, or on another worker, may
    /// succeed.
    #[error("{reference} could not be read on this worker: {why}")]
    Exhausted { reference: String, why: String },
    /// The document is over the bound on one document, or brings those of its run over the bound on their sum.
    #[error("{reference} {bound}")]
    TooLarge { reference: String, bound: String },
    /// Size or digest differs from those that the manifest or the bundle pins.
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

    /// Builds the error for bytes that a disk or store does not give.
    fn unreadable(reference: &Reference, error: impl std::error::Error + 'static) -> Self {
        let (name, why) = (reference.to_string(), error.to_string());
        if is_exhausted(&error) {
            Self::Exhausted { reference: name, why }
        } else {
            Self::Unavailable { reference: name, why }
        }
    }

    /// Builds the error for a copy that this worker's own disk does not take.
    fn unwritten(reference: &Reference, error: &std::io::Error) -> Self {
        Self::Exhausted { reference: reference.to_string(), why: format!("scratch folder: {error}") }
    }
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct InputSettings {
    /// Folder at which relative references start. `None` refuses relative references.
    pub root: Option<PathBuf>,
    /// Prefixes of references that may be opened: `file:///data`, `s3://bucket/prefix`, `gs://…`, `az://…`.
    pub allow: Vec<String>,
    /// Upper bound on the size of a manifest or profile, in bytes.
    pub max_document_bytes: u64,
    /// Upper bound on the sum of the manifests, profiles and documents of earlier bundles of one run, in bytes.
    pub max_documents_bytes: u64,
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
            max_documents_bytes: 32 * 1024 * 1024,
            s3: S3Settings::default(),
            gcs: GcsSettings::default(),
            azure: AzureSettings::default(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum InputSettingsError {
    /// A configured folder does not exist or cannot be read.
    #[error("[inputs] {key}: {folder} cannot be used: {error}")]
    Folder { key: &'static str, folder: PathBuf, error: std::io::Error },
    /// A prefix is malformed, or this build has no client for its scheme.
    #[error("[inputs] allow: {0}")]
    Prefix(String),
}
