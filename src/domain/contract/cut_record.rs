//! A record that is over a bound or cannot be read: what is known of it, in place of its bytes.

use super::Rejection;
use crate::domain::identity::Digest;

/// A record of the request topic of which only the beginning is kept; the rest stands on its topic alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutRecord {
    /// Length of the whole key; 0 if there is none.
    pub key_bytes: u64,
    /// Length of the whole value.
    pub value_bytes: u64,
    /// Digest of the whole value.
    pub value_sha256: Digest,
    /// Why the record is refused.
    pub rejection: Rejection,
}

impl CutRecord {
    /// How much of a key or value is kept, in bytes.
    pub const KEPT_BYTES: usize = 1024;

    /// Hashes the value where it lies.
    pub fn of(key: Option<&[u8]>, value: &[u8], rejection: Rejection) -> Self {
        Self {
            key_bytes: key.map_or(0, <[u8]>::len) as u64,
            value_bytes: value.len() as u64,
            value_sha256: Digest::of(value),
            rejection,
        }
    }

    /// The part of a key or value that is kept.
    pub fn beginning(bytes: &[u8]) -> &[u8] {
        &bytes[..bytes.len().min(Self::KEPT_BYTES)]
    }

    /// Whether the key was longer than what is kept of it.
    pub fn cuts_key(&self) -> bool {
        self.key_bytes > Self::KEPT_BYTES as u64
    }
}
