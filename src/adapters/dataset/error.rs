//! Why a reference could not be read.

use crate::domain::contract::Reference;

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
    TooLarge {
        reference: String,
        /// In bytes.
        limit: u64,
    },
    /// Size or digest is not what the manifest pins.
    #[error("{reference}: expected {expected}, found {found}")]
    DigestMismatch { reference: String, expected: String, found: String },
}

impl InputError {
    pub(super) fn not_allowed(reference: &Reference, why: &str) -> Self {
        Self::NotAllowed { reference: reference.to_string(), why: why.to_owned() }
    }

    pub(super) fn not_found(reference: &Reference) -> Self {
        Self::NotFound { reference: reference.to_string() }
    }

    pub(super) fn unavailable(reference: &Reference, why: impl std::fmt::Display) -> Self {
        Self::Unavailable { reference: reference.to_string(), why: why.to_string() }
    }
}
