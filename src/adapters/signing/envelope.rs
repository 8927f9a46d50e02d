//! The file `model.sig`: a Sigstore bundle with a DSSE envelope around an in-toto statement. The statement names every
//! file of the bundle with its digest.
//!
//! Formats: OpenSSF Model Signing 1.0 (predicate `https://model_signing/signature/v1.0`), Sigstore bundle v0.3, DSSE
//! 1.0 (<https://github.com/secure-systems-lab/dsse/blob/v1.0.0/protocol.md>). The statement's resources are sorted by
//! name. The digest of its subject is SHA-256 over the bytes of the resources' digests in that order.

use super::key::{PrivateKey, PublicKey, pre_authentication};
use crate::domain::identity::{Digest, Hasher, canonical_json, document_bytes};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use p256::ecdsa::DerSignature;
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

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
#[serde(rename_all = "camelCase")]
struct SigstoreBundle {
    media_type: String,
    verification_material: Material,
    dsse_envelope: Envelope,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    public_key: Hint,
    #[serde(default)]
    tlog_entries: Vec<Value>,
}

#[derive(Serialize, Deserialize)]
struct Hint {
    hint: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Serialize, Deserialize)]
struct EnvelopeSignature {
    sig: String,
    #[serde(default)]
    keyid: String,
}

#[derive(Deserialize)]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<StatementSubject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Predicate,
}

#[derive(Deserialize)]
struct StatementSubject {
    digest: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Predicate {
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    name: String,
    algorithm: String,
    digest: Digest,
}

impl PrivateKey {
    /// Signs these files of the bundle `name`. `ignored` is the name of the signature's own file, which is not signed.
    pub fn sign(&self, name: &str, files: &BTreeMap<String, Digest>, ignored: &str) -> Vec<u8> {
        let payload = canonical_json(&statement(name, files, ignored)).into_bytes();
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

fn statement(name: &str, files: &BTreeMap<String, Digest>, ignored: &str) -> Value {
    let resources: Vec<Value> =
        files.iter().map(|(name, digest)| json!({"name": name, "algorithm": "sha256", "digest": digest})).collect();
    json!({
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": root(files.values())}}],
        "predicateType": PREDICATE,
        "predicate": {
            "serialization": {
                "method": "files", "hash_type": "sha256", "allow_symlinks": false, "ignore_paths": [ignored],
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

/// Checks that this key signed exactly these files with these digests.
pub fn verify(key: &PublicKey, signature: &[u8], files: &BTreeMap<String, Digest>) -> Result<(), SignatureError> {
    let (bundle, payload) = open(signature)?;
    let (found, expected) = (bundle.verification_material.public_key.hint, key.hint());
    if found != expected.to_string() {
        return Err(SignatureError::OtherKey { found, expected });
    }
    let [signed] = bundle.dsse_envelope.signatures.as_slice() else {
        return Err(malformed("it must hold one signature"));
    };
    let bytes = BASE64.decode(&signed.sig).map_err(malformed)?;
    let signature = DerSignature::from_bytes(&bytes).map_err(malformed)?;
    key.0.verify(&pre_authentication(PAYLOAD_TYPE, &payload), &signature).map_err(|_| SignatureError::Invalid)?;
    compare(&payload, files)
}

/// Checks that a signature names exactly these files with these digests. Does not check which key made the signature.
pub fn check_files(signature: &[u8], files: &BTreeMap<String, Digest>) -> Result<(), SignatureError> {
    let (_, payload) = open(signature)?;
    compare(&payload, files)
}

fn open(signature: &[u8]) -> Result<(SigstoreBundle, Vec<u8>), SignatureError> {
    let bundle: SigstoreBundle = serde_json::from_slice(signature).map_err(malformed)?;
    if bundle.media_type != MEDIA_TYPE || bundle.dsse_envelope.payload_type != PAYLOAD_TYPE {
        return Err(malformed("media type or payload type is another one"));
    }
    let payload = BASE64.decode(&bundle.dsse_envelope.payload).map_err(malformed)?;
    Ok((bundle, payload))
}

fn compare(payload: &[u8], files: &BTreeMap<String, Digest>) -> Result<(), SignatureError> {
    let statement: Statement = serde_json::from_slice(payload).map_err(malformed)?;
    if statement.kind != STATEMENT || statement.predicate_type != PREDICATE {
        return Err(malformed("statement or predicate is of another type"));
    }
    let resources = &statement.predicate.resources;
    if resources.iter().any(|resource| resource.algorithm != "sha256") {
        return Err(malformed("a digest is no SHA-256"));
    }
    let signed: BTreeMap<String, Digest> =
        resources.iter().map(|resource| (resource.name.clone(), resource.digest)).collect();
    let said = statement.subject.first().and_then(|subject| subject.digest.get("sha256"));
    let found = root(resources.iter().map(|resource| &resource.digest)).to_string();
    if statement.subject.len() != 1 || signed.len() != resources.len() || said != Some(&found) {
        return Err(malformed("its subject is not the sum of its files"));
    }
    let names: std::collections::BTreeSet<&String> = signed.keys().chain(files.keys()).collect();
    match names.into_iter().find(|name| signed.get(*name) != files.get(*name)) {
        None => Ok(()),
        Some(name) => Err(SignatureError::OtherFiles(name.clone())),
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
        let signature = key.sign("bundle", &files(), "model.sig");
        assert_eq!(
            PrivateKey::from_pem(key.to_pem().reveal()).unwrap().sign("bundle", &files(), "model.sig"),
            signature
        );
        let public = PublicKey::from_pem(&key.public().to_pem()).unwrap();
        assert_eq!(verify(&public, &signature, &files()), Ok(()));
        assert_eq!(check_files(&signature, &files()), Ok(()));
        let other = PrivateKey::generate().public();
        assert!(matches!(verify(&other, &signature, &files()), Err(SignatureError::OtherKey { .. })));
        let mut more = files();
        more.insert("extra".to_owned(), Digest::of(b"extra"));
        assert_eq!(verify(&public, &signature, &more), Err(SignatureError::OtherFiles("extra".to_owned())));
        // A statement that the key did not sign, under the key's own hint.
        let mut forged: Value = serde_json::from_slice(&signature).unwrap();
        let payload = canonical_json(&statement("bundle", &more, "model.sig"));
        forged["dsseEnvelope"]["payload"] = json!(BASE64.encode(payload));
        assert_eq!(verify(&public, &document_bytes(&forged), &more), Err(SignatureError::Invalid));
        assert!(matches!(check_files(b"{}", &files()), Err(SignatureError::Malformed(_))));
    }

    #[test]
    fn a_key_is_never_printed() {
        let key = PrivateKey::generate();
        let shown = format!("{key:?} {:?}", key.to_pem());
        assert!(shown.contains("(secret)") && !shown.contains("BEGIN"), "{shown}");
        assert_eq!(PrivateKey::from_pem("no key").unwrap_err(), KeyError::NoPrivateKey);
    }
}
