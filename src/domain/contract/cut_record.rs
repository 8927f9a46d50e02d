//! A record that is too long, or that cannot be read, judged or stored. The ledger stores these facts about it in place
//! of its bytes.

use super::Rejection;
use crate::domain::identity::Digest;

/// A record of which the ledger holds only the beginning. The rest is only on the request topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutRecord {
    /// Length of the whole key, in bytes. 0 if the record has no key.
    pub key_bytes: u64,
    /// Length of the whole value, in bytes.
    pub value_bytes: u64,
    /// Digest of the whole value.
    pub value_sha256: Digest,
    /// Why the record is refused.
    pub rejection: Rejection,
}

impl CutRecord {
    /// Number of bytes of a refused key or value that the ledger holds and a dead letter quotes. Also the longest key that
    /// is accepted.
    pub const KEPT_BYTES: usize = 1024;

    /// Describes a record. Hashes the value without copying it.
    pub fn of(key: Option<&[u8]>, value: &[u8], rejection: Rejection) -> Self {
        Self {
            key_bytes: key.map_or(0, <[u8]>::len) as u64,
            value_bytes: value.len() as u64,
            value_sha256: Digest::of(value),
            rejection,
        }
    }

    /// Returns the part of a key or value that the ledger holds.
    pub fn beginning(bytes: &[u8]) -> &[u8] {
        &bytes[..bytes.len().min(Self::KEPT_BYTES)]
    }

    /// Returns whether the key is longer than the part that the ledger holds.
    pub fn cuts_key(&self) -> bool {
        self.key_bytes > Self::KEPT_BYTES as u64
    }
}
