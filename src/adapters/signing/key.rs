//! Reads and writes keys as PEM. Builds the bytes that a DSSE signature covers.

use crate::domain::identity::Digest;
use crate::secret::Secret;
use p256::SecretKey;
use p256::ecdsa::{SigningKey, VerifyingKey};
use p256::elliptic_curve::Generate as _;
use p256::pkcs8::{DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _, LineEnding};
use std::fmt;

/// Why a key cannot be used. The text reveals nothing of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("no private key on the curve P-256 (PEM, PKCS#8 or SEC 1, without a password and nothing before it)")]
    NoPrivateKey,
    #[error("no public key on the curve P-256 (PEM, SubjectPublicKeyInfo)")]
    NoPublicKey,
    #[error("no Ed25519 key and no key on the curve P-256 (PEM, without a password and nothing before it)")]
    NoRequesterKey,
}

/// Private ECDSA key on P-256 that signs bundles.
#[derive(Clone)]
pub struct PrivateKey(pub(super) SigningKey);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(pub(super) VerifyingKey);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.public().hint())
    }
}

impl PrivateKey {
    /// Reads PEM: PKCS#8 or SEC 1, without a password.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let secret = SecretKey::from_pem(pem).map_err(|_| KeyError::NoPrivateKey)?;
        Ok(Self(SigningKey::from(secret)))
    }

    pub fn generate() -> Self {
        Self(SigningKey::generate())
    }

    /// Writes PEM (PKCS#8).
    pub fn to_pem(&self) -> Secret {
        let pem = SecretKey::from(&self.0).to_pkcs8_pem(LineEnding::LF).expect("a key on a named curve has a PEM form");
        Secret::new((*pem).clone())
    }

    pub fn public(&self) -> PublicKey {
        PublicKey(*self.0.verifying_key())
    }
}

impl PublicKey {
    /// Reads PEM (`SubjectPublicKeyInfo`).
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        VerifyingKey::from_public_key_pem(pem).map(Self).map_err(|_| KeyError::NoPublicKey)
    }

    pub fn to_pem(&self) -> String {
        self.0.to_public_key_pem(LineEnding::LF).expect("a key on a named curve has a PEM form")
    }

    /// Returns SHA-256 of the key's PEM text. A signature names the key by this digest.
    pub fn hint(&self) -> Digest {
        Digest::of(self.to_pem().as_bytes())
    }
}

/// Builds DSSE's pre-authentication encoding: type and payload, each preceded by its length
/// (<https://github.com/secure-systems-lab/dsse/blob/v1.0.0/protocol.md>).
pub(super) fn pre_authentication(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specification_gives_this_example() {
        let signed = pre_authentication("http://example.com/HelloWorld", b"hello world");
        assert_eq!(signed, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }
}
