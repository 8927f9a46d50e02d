//! Keys of requesters: Ed25519, or ECDSA on the curve P-256 with SHA-256.

use super::key::pre_authentication;
use super::{KeyError, PrivateKey, PublicKey};
use crate::domain::contract::{SIGNED_REQUEST_TYPE, SignedEnvelope};
use crate::domain::identity::Digest;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _, EncodePublicKey as _};
use ed25519_dalek::{SigningKey, VerifyingKey};
use p256::ecdsa::DerSignature;
use p256::ecdsa::signature::{Signer as _, Verifier as _};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequesterKey {
    /// Ed25519. A signature has 64 bytes.
    Ed25519(VerifyingKey),
    /// ECDSA on P-256 with SHA-256. A signature is in DER form.
    P256(PublicKey),
}

impl RequesterKey {
    /// Reads PEM (`SubjectPublicKeyInfo`). Refuses weak Ed25519 keys.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        match VerifyingKey::from_public_key_pem(pem) {
            Ok(key) if key.is_weak() => Err(KeyError::NoRequesterKey),
            Ok(key) => Ok(Self::Ed25519(key)),
            Err(_) => PublicKey::from_pem(pem).map(Self::P256).map_err(|_| KeyError::NoRequesterKey),
        }
    }

    pub fn to_pem(&self) -> String {
        match self {
            Self::Ed25519(key) => key.to_public_key_pem(LineEnding::LF).expect("a key on a named curve has a PEM form"),
            Self::P256(key) => key.to_pem(),
        }
    }

    /// Returns whether this key made `signature` over a request with these bytes.
    pub fn verifies(&self, request: &[u8], signature: &[u8]) -> bool {
        let signed = pre_authentication(SIGNED_REQUEST_TYPE, request);
        match self {
            Self::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(&signed, &signature).is_ok()),
            Self::P256(key) => {
                DerSignature::from_bytes(signature).is_ok_and(|signature| key.0.verify(&signed, &signature).is_ok())
            }
        }
    }
}

#[derive(Debug)]
pub enum RequesterPrivateKey {
    Ed25519(SigningKey),
    P256(PrivateKey),
}

impl RequesterPrivateKey {
    /// Reads PEM: PKCS#8, or SEC 1 for a P-256 key.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        match SigningKey::from_pkcs8_pem(pem) {
            Ok(key) => Ok(Self::Ed25519(key)),
            Err(_) => PrivateKey::from_pem(pem).map(Self::P256).map_err(|_| KeyError::NoRequesterKey),
        }
    }

    pub fn public(&self) -> RequesterKey {
        match self {
            Self::Ed25519(key) => RequesterKey::Ed25519(key.verifying_key()),
            Self::P256(key) => RequesterKey::P256(key.public()),
        }
    }

    /// Builds the value of a record with this request in a signed envelope.
    pub fn seal(&self, request: &[u8]) -> Vec<u8> {
        let signed = pre_authentication(SIGNED_REQUEST_TYPE, request);
        let signature = match self {
            Self::Ed25519(key) => key.sign(&signed).to_bytes().to_vec(),
            Self::P256(key) => {
                let signature: DerSignature = key.0.sign(&signed);
                signature.as_bytes().to_vec()
            }
        };
        let hint = Digest::of(self.public().to_pem().as_bytes());
        SignedEnvelope::seal(request, &signature, &hint.to_string())
    }
}
