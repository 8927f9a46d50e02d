//! The file `model.sig`: a Sigstore bundle with a DSSE envelope around an in-toto statement. The statement names every
//! file of the bundle with its digest.
//!
//! Formats: OpenSSF Model Signing 1.0 (predicate `https://model_signing/signature/v1.0`), Sigstore bundle v0.3, DSSE
//! 1.0 (<https://github.com/secure-systems-lab/dsse/blob/v1.0.0/protocol.md>). The statement's resources are sorted by
//! name. The digest of its subject is SHA-256 over the bytes of the resources' digests in that order.

use super::key::{PrivateKey, PublicKey, pre_authentication};
use crate::domain::contract::parse_strict;
use crate::domain::harmless::line;
use crate::domain::identity::{Digest, Hasher, canonical_json, document_bytes};
use crate::modelling::SIGNATURE_FILE;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use p256::ecdsa::DerSignature;
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PREDICATE: &str = "https://model_signing/signature/v1.0";

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("it is no model signature: {0}")]
    Malformed(String),
    #[error("it was made with the key {found}, not with {expected}")]
    OtherKey { found: String, expected: Digest },
    #[error("the key did not sign this statement")]
    Invalid,
    /// The signature is about other files. Holds the first name, in sorted order, that is missing on one side or has
    /// another digest.
    #[error("it signs other files: {0}")]
    OtherFiles(String),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SigstoreBundle {
    media_type: String,
    verification_material: Material,
    dsse_envelope: Envelope,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Material {
    public_key: Hint,
    tlog_entries: Vec<Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hint {
    hint: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvelopeSignature {
    sig: String,
    keyid: String,
}

/// The parts of a statement from which the error is built if the statement is not the expected one.
#[derive(Deserialize)]
struct Statement {
    predicate: Predicate,
}

#[derive(Deserialize)]
struct Predicate {
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    name: String,
    digest: Digest,
}

impl PrivateKey {
    /// Signs these files of a bundle. `name` is the bundle's version. `files` must not hold the signature's own file.
    pub fn sign(&self, name: &str, files: &BTreeMap<String, Digest>) -> Vec<u8> {
        let payload = canonical_json(&statement(name, files)).into_bytes();
        let signature: DerSignature = self.0.sign(&pre_authentication(PAYLOAD_TYPE, &payload));
        document_bytes(&SigstoreBundle {
            media_type: MEDIA_TYPE.to_owned(),
            verification_material: Material {
                public_key: Hint { hint: self.public().hint().to_string() },
                tlog_entries: Vec::new(),
            },
            dsse_envelope: Envelope {
                payload: BASE64.encode(payload),
                payload_type: PAYLOAD_TYPE.to_owned(),
                signatures: vec![EnvelopeSignature { sig: BASE64.encode(signature.as_bytes()), keyid: String::new() }],
            },
        })
    }
}

fn statement(name: &str, files: &BTreeMap<String, Digest>) -> Value {
    let resources: Vec<Value> =
        files.iter().map(|(name, digest)| json!({"name": name, "algorithm": "sha256", "digest": digest})).collect();
    json!({
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": root(files.values())}}],
        "predicateType": PREDICATE,
        "predicate": {
            "serialization": {
                "method": "files", "hash_type": "sha256", "allow_symlinks": false, "ignore_paths": [SIGNATURE_FILE],
            },
            "resources": resources,
        },
    })
}

fn root<'a>(digests: impl Iterator<Item = &'a Digest>) -> Digest {
    let mut hasher = Hasher::new();
    for digest in digests {
        hasher.update(digest.as_bytes());
    }
    hasher.finish()
}

/// Checks that this key signed exactly these files with these digests, under the bundle version `name`.
pub fn verify(
    key: &PublicKey,
    signature: &[u8],
    name: &str,
    files: &BTreeMap<String, Digest>,
) -> Result<(), SignatureError> {
    let SigstoreBundle { verification_material: Material { public_key, .. }, dsse_envelope: envelope, .. } =
        open(signature)?;
    let (found, expected) = (public_key.hint, key.hint());
    if found != expected.to_string() {
        return Err(SignatureError::OtherKey { found: line(&found, 100), expected });
    }
    let [signed] = envelope.signatures.as_slice() else {
        return Err(malformed("it must hold one signature"));
    };
    let payload = BASE64.decode(&envelope.payload).map_err(malformed)?;
    let bytes = BASE64.decode(&signed.sig).map_err(malformed)?;
    let signature = DerSignature::from_bytes(&bytes).map_err(malformed)?;
    key.0.verify(&pre_authentication(PAYLOAD_TYPE, &payload), &signature).map_err(|_| SignatureError::Invalid)?;
    compare(&payload, name, files)
}

/// Checks that a signature names exactly these files with these digests, under the bundle version `name`. Does not
/// check which key made the signature.
pub fn check_files(signature: &[u8], name: &str, files: &BTreeMap<String, Digest>) -> Result<(), SignatureError> {
    let payload = BASE64.decode(&open(signature)?.dsse_envelope.payload).map_err(malformed)?;
    compare(&payload, name, files)
}

/// Reads `model.sig`. No signature covers this file, so its bytes must be exactly those that [`PrivateKey::sign`]
/// writes.
fn open(signature: &[u8]) -> Result<SigstoreBundle, SignatureError> {
    const MAX_DEPTH: usize = 16;
    let value = parse_strict(signature, MAX_DEPTH).map_err(malformed)?;
    let bundle: SigstoreBundle = serde_json::from_value(value).map_err(malformed)?;
    if bundle.media_type != MEDIA_TYPE || bundle.dsse_envelope.payload_type != PAYLOAD_TYPE {
        return Err(malformed("media type or payload type is another one"));
    }
    let says_more = !bundle.verification_material.tlog_entries.is_empty()
        || bundle.dsse_envelope.signatures.iter().any(|signature| !signature.keyid.is_empty());
    if says_more || document_bytes(&bundle) != signature {
        return Err(malformed("it holds more than a signature, or holds it in another form"));
    }
    Ok(bundle)
}

/// Compares the statement with the one that follows from the bundle's name and files.
fn compare(payload: &[u8], name: &str, files: &BTreeMap<String, Digest>) -> Result<(), SignatureError> {
    if payload == canonical_json(&statement(name, files)).as_bytes() {
        return Ok(());
    }
    let found: Statement = serde_json::from_slice(payload).map_err(malformed)?;
    let resources = found.predicate.resources.into_iter();
    let signed: BTreeMap<String, Digest> = resources.map(|resource| (resource.name, resource.digest)).collect();
    let names: BTreeSet<&String> = signed.keys().chain(files.keys()).collect();
    match names.into_iter().find(|name| signed.get(*name) != files.get(*name)) {
        Some(name) => Err(SignatureError::OtherFiles(line(name, 200))),
        None => Err(malformed(format!("its statement is not the one about the bundle {name}"))),
    }
}

fn malformed(why: impl std::fmt::Display) -> SignatureError {
    SignatureError::Malformed(why.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::KeyError;
    use super::*;

    fn files() -> BTreeMap<String, Digest> {
        ["MLmodel", "bundle.json", "model.json"].map(|name| (name.to_owned(), Digest::of(name.as_bytes()))).into()
    }

    #[test]
    fn a_signature_holds_for_its_key_and_its_files_alone_and_comes_out_the_same_every_time() {
        let key = PrivateKey::generate();
        let signature = key.sign("bundle", &files());
        assert_eq!(PrivateKey::from_pem(key.to_pem().reveal()).unwrap().sign("bundle", &files()), signature);
        let public = PublicKey::from_pem(&key.public().to_pem()).unwrap();
        assert_eq!(verify(&public, &signature, "bundle", &files()), Ok(()));
        assert_eq!(check_files(&signature, "bundle", &files()), Ok(()));
        let says = |result: Result<(), SignatureError>| result.unwrap_err().to_string();
        assert!(says(check_files(&signature, "another", &files())).contains("about the bundle another"));
        // No signature covers the file of the signature itself.
        let text = String::from_utf8(signature.clone()).unwrap();
        let open = text.replacen("\"keyid\": \"\"", "\"keyid\": \"me\"", 1);
        for changed in [open, text.replacen('{', "{\"x\": 1,", 1), format!("{text} "), text.replacen(": ", ":", 1)] {
            assert!(matches!(
                verify(&public, changed.as_bytes(), "bundle", &files()),
                Err(SignatureError::Malformed(_))
            ));
        }
        let other = PrivateKey::generate().public();
        assert!(matches!(verify(&other, &signature, "bundle", &files()), Err(SignatureError::OtherKey { .. })));
        let mut more = files();
        more.insert("extra".to_owned(), Digest::of(b"extra"));
        assert_eq!(verify(&public, &signature, "bundle", &more), Err(SignatureError::OtherFiles("extra".to_owned())));
        // A statement that the key did not sign, under the key's own hint.
        let mut forged: Value = serde_json::from_slice(&signature).unwrap();
        let payload = canonical_json(&statement("bundle", &more));
        forged["dsseEnvelope"]["payload"] = json!(BASE64.encode(payload));
        assert_eq!(verify(&public, &document_bytes(&forged), "bundle", &more), Err(SignatureError::Invalid));
        assert!(matches!(check_files(b"{}", "bundle", &files()), Err(SignatureError::Malformed(_))));
    }

    #[test]
    fn a_key_is_never_printed() {
        let key = PrivateKey::generate();
        let shown = format!("{key:?} {:?}", key.to_pem());
        assert!(shown.contains("(secret)") && !shown.contains("BEGIN"), "{shown}");
        assert_eq!(PrivateKey::from_pem("no key").unwrap_err(), KeyError::NoPrivateKey);
    }
}
