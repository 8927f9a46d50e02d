//! `SignedEnvelope`: a request inside a DSSE envelope, with signatures over its bytes.
//!
//! Format: DSSE 1.0 (<https://github.com/secure-systems-lab/dsse/blob/v1.0.0/envelope.md>). Signatures are not checked
//! in this file, but in `adapters::signing`.

use crate::domain::contract::first_error::first_error;
use crate::domain::contract::{DocumentError, SchemaName};
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, engine};
use serde_json::{Map, Value, json};

/// DSSE payload type of a signed request. Keeps other kinds of signed documents from being read as requests.
pub const SIGNED_REQUEST_TYPE: &str = "application/vnd.modelfactory.request+json";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedEnvelope {
    /// The request's bytes, exactly as they were signed.
    pub payload: Vec<u8>,
    /// One to four signatures. The envelope's key ids are ignored, because no signature covers them.
    pub signatures: Vec<Vec<u8>>,
}

impl SignedEnvelope {
    /// Returns whether a message that is no `CloudEvent` is an envelope. Only envelopes have a field `payloadType`.
    pub(in crate::domain::contract) fn is_one(message: &Map<String, Value>) -> bool {
        message.contains_key("payloadType")
    }

    pub(in crate::domain::contract) fn open(message: Map<String, Value>) -> Result<Self, DocumentError> {
        let value = Value::Object(message);
        if let Some(error) = first_error(SchemaName::SignedRequest, &value, &[]) {
            return Err(error);
        }
        let decoded = |pointer: String| {
            let text = value.pointer(&pointer).and_then(Value::as_str).unwrap_or_default();
            decode(text).ok_or_else(|| DocumentError::at(pointer, "it is not base64"))
        };
        let count = value["signatures"].as_array().map_or(0, Vec::len);
        Ok(Self {
            payload: decoded("/payload".to_owned())?,
            signatures: (0..count)
                .map(|index| decoded(format!("/signatures/{index}/sig")))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Builds a record's value: an envelope with this payload and one signature.
    pub fn seal(payload: &[u8], signature: &[u8], key_id: &str) -> Vec<u8> {
        let encode = |bytes: &[u8]| engine::general_purpose::STANDARD.encode(bytes);
        let envelope = json!({
            "payload": encode(payload),
            "payloadType": SIGNED_REQUEST_TYPE,
            "signatures": [{"keyid": key_id, "sig": encode(signature)}],
        });
        envelope.to_string().into_bytes()
    }
}

/// Decodes base64. DSSE allows the standard and the URL-safe alphabet, with or without padding. `None` for other text.
fn decode(text: &str) -> Option<Vec<u8>> {
    const ANY: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let standard = text.replace('-', "+").replace('_', "/");
    GeneralPurpose::new(&STANDARD, ANY).decode(standard).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(bytes: &[u8]) -> Result<SignedEnvelope, DocumentError> {
        let Value::Object(message) = serde_json::from_slice(bytes).unwrap() else { panic!("an object") };
        assert!(SignedEnvelope::is_one(&message));
        SignedEnvelope::open(message)
    }

    #[test]
    fn what_is_sealed_opens_to_the_same_bytes() {
        let payload = "{\"z\": 1,  \"a\": \"\u{fc}\u{3fb}\"}\n".as_bytes();
        let sealed = SignedEnvelope::seal(payload, &[0xfb, 0xff, 0xfe], "k");
        let opened = SignedEnvelope { payload: payload.to_vec(), signatures: vec![vec![0xfb, 0xff, 0xfe]] };
        assert_eq!(open(&sealed).unwrap(), opened);
        let text = String::from_utf8(sealed).unwrap();
        assert!(text.contains("\"+//+\""), "{text}");
        assert_eq!(open(text.replace("\"+//+\"", "\"-__-\"").as_bytes()).unwrap(), opened, "the URL's alphabet");
    }

    #[test]
    fn an_envelope_that_is_none_is_refused_where_it_is_wrong() {
        let good: Value = serde_json::from_slice(&SignedEnvelope::seal(b"{}", b"s", "")).unwrap();
        let cases = [
            ("/payload", json!("not base64!")),
            ("/payloadType", json!("application/vnd.in-toto+json")),
            ("/signatures", json!([])),
            (
                "/signatures",
                json!([{"sig": "AA=="}, {"sig": "AA=="}, {"sig": "AA=="}, {"sig": "AA=="}, {"sig": "AA=="}]),
            ),
            ("/signatures/0/sig", json!("?")),
        ];
        for (pointer, value) in cases {
            let mut bad = good.clone();
            *bad.pointer_mut(pointer).unwrap() = value;
            assert_eq!(open(bad.to_string().as_bytes()).unwrap_err().pointer, pointer);
        }
        let mut more = good;
        more["note"] = json!("x");
        assert_eq!(open(more.to_string().as_bytes()).unwrap_err().pointer, "/note");
    }
}
