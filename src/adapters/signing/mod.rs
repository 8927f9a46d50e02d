//! Signatures. Bundles are signed in the OpenSSF model signing format, with an ECDSA key on P-256. Requests are signed
//! in a DSSE envelope, with such a key or an Ed25519 key.
//!
//! Guarantees: signing the same bundle with the same key gives the same signature (RFC 6979), so that a second attempt
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
    /// File with the private key (PEM). Must not be set together with `key`.
    pub key_file: Option<PathBuf>,
    pub key: Option<Secret>,
    /// Whether bundles may be built and published without a signature if no key is configured.
    pub allow_unsigned: bool,
}
