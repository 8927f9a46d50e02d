//! Signatures. Bundles are signed as OpenSSF model signing defines it, with an ECDSA key on the curve P-256;
//! requests in a DSSE envelope, with such a key or an Ed25519 key.
//!
//! Guarantees: the same bundle under the same key gets the same signature (RFC 6979), so that a second attempt
//! writes the same bytes. Never: prints a key.

mod envelope;
mod key;
mod requester;

pub use envelope::{SignatureError, check_files, verify};
pub use key::{KeyError, PrivateKey, PublicKey};
pub use requester::{RequesterKey, RequesterPrivateKey};

use crate::secret::Secret;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SigningSettings {
    /// File that holds the private key as PEM; not together with `key`.
    pub key_file: Option<PathBuf>,
    pub key: Option<Secret>,
    /// Whether bundles are built and published without a signature where there is no key.
    pub allow_unsigned: bool,
}
