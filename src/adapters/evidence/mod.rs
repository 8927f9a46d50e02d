//! Write-once documents and files in an object store: local disk or S3.
//!
//! Guarantees: no put changes the bytes under a name. What `put` stored was read back and its digest compared. On local
//! disk it is also synced. Never: overwrites, deletes, looks for the newest version.

pub mod layout;
mod store;

pub use layout::{EvidencePath, InvalidPath, RunFolder};
pub use store::{EvidenceParts, EvidenceStore, Put};

use crate::adapters::objects::{S3Settings, StoreTrouble};
use crate::domain::identity::Digest;
use serde::{Deserialize, Serialize};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A temporary error. Trying again later may succeed.
    #[error("the evidence store is not available: {0}")]
    Unavailable(String),
    /// The URL or the rights are wrong, or the store is not write-once. A person has to change something.
    #[error("the evidence store is not usable: {0}")]
    Unusable(String),
    /// This machine has no descriptor, memory or disk left. Trying again later, or on another worker, may succeed.
    #[error("this worker cannot use the evidence store now: {0}")]
    Exhausted(String),
    /// The local file to store cannot be read, or the stored document is too large to read.
    #[error("{0}")]
    Unfit(String),
}

#[derive(Debug, thiserror::Error)]
pub enum PutError {
    #[error("{path} exists with digest {found}, not {expected}; evidence is never overwritten")]
    Drift { path: EvidencePath, expected: Digest, found: Digest },
    #[error(transparent)]
    Store(#[from] Error),
}

/// Why evidence that the ledger names cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the ledger names a place that evidence cannot have")]
    NoPath,
    #[error("nothing stands at this place in the evidence store")]
    Missing,
    #[error("it has {bytes} bytes; at most {max_bytes} are read here")]
    TooLarge { bytes: u64, max_bytes: u64 },
    /// The stored bytes do not have the digest that the ledger holds.
    #[error("it has digest {found}, but the ledger says {expected}: these are not the bytes that the run wrote")]
    Changed { expected: Digest, found: Digest },
    #[error(transparent)]
    Store(#[from] Error),
}

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        match StoreTrouble::of_store(&error) {
            StoreTrouble::Refused | StoreTrouble::Impossible => Self::Unusable(error.to_string()),
            StoreTrouble::Exhausted => Self::Exhausted(error.to_string()),
            StoreTrouble::Absent | StoreTrouble::Away => Self::Unavailable(error.to_string()),
        }
    }
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvidenceSettings {
    /// URL of the store: `file:///folder` or `s3://bucket/prefix`.
    pub url: String,
    pub s3: S3Settings,
}

impl Default for EvidenceSettings {
    fn default() -> Self {
        Self { url: "file:///var/lib/model-factory/evidence".to_owned(), s3: S3Settings::default() }
    }
}
