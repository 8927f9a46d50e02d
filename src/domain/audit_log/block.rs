//! A block: the acts of one transaction as text, with its place in the chain.

use super::{Act, Body};
use crate::domain::identity::{Digest, Hasher, canonical_text};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Tells these digests from any other of this software.
const DOMAIN: &str = "mf.audit_block.v1";

/// The last block of a chain: all that is needed to notice that a block before it was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Its number; 0 of a chain without blocks.
    pub seq: i64,
    /// Its digest.
    pub digest: Digest,
}

/// Text that names no head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a head is written SEQ:DIGEST, as `audit verify` and `audit export` print it")]
pub struct InvalidHead;

impl Head {
    /// Of a chain without blocks.
    pub fn start() -> Self {
        Self { seq: 0, digest: Digest::from_bytes(&[0; 32]).expect("32 bytes are a digest") }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.digest)
    }
}

impl FromStr for Head {
    type Err = InvalidHead;

    fn from_str(text: &str) -> Result<Self, InvalidHead> {
        let (seq, digest) = text.split_once(':').ok_or(InvalidHead)?;
        match (seq.parse(), digest.parse()) {
            (Ok(seq), Ok(digest)) if seq >= 0 => Ok(Self { seq, digest }),
            _ => Err(InvalidHead),
        }
    }
}

/// A row of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// 1, 2, 3… without holes.
    pub seq: i64,
    /// When its transaction began.
    #[serde(with = "micros")]
    pub at: DateTime<Utc>,
    /// Digest of the block before.
    pub previous: Digest,
    /// Digest of this one.
    pub digest: Digest,
    /// The acts, as the text that is hashed.
    pub body: String,
}

/// A [`Body`] that is not owned.
#[derive(Serialize)]
struct Written<'a> {
    acts: &'a [Act],
    by: &'a str,
}

impl Block {
    /// The text of these acts.
    pub fn text(by: &str, acts: &[Act]) -> String {
        canonical_text(&Written { acts, by })
    }

    /// The block with this text behind a head.
    pub fn behind(head: &Head, at: DateTime<Utc>, body: String) -> Self {
        let seq = head.seq + 1;
        let digest = digest(seq, at, &head.digest, &body);
        Self { seq, at, previous: head.digest, digest, body }
    }

    /// The digest that the rest of the block comes to.
    pub fn computed(&self) -> Digest {
        digest(self.seq, self.at, &self.previous, &self.body)
    }

    /// The acts.
    pub fn read(&self) -> Result<Body, serde_json::Error> {
        serde_json::from_str(&self.body)
    }

    /// What the next block hangs on.
    pub fn head(&self) -> Head {
        Head { seq: self.seq, digest: self.digest }
    }
}

/// SHA-256 over four lines (domain, number, time, digest of the block before) and the text. The lines have no line
/// break inside, so that no two blocks come to the same bytes.
fn digest(seq: i64, at: DateTime<Utc>, previous: &Digest, body: &str) -> Digest {
    let mut hasher = Hasher::new();
    let at = at.to_rfc3339_opts(SecondsFormat::Micros, true);
    hasher.update(format!("{DOMAIN}\n{seq}\n{at}\n{previous}\n").as_bytes());
    hasher.update(body.as_bytes());
    hasher.finish()
}

/// Times with six digits behind the second, as they are hashed.
mod micros {
    use chrono::{DateTime, SecondsFormat, Utc};
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Micros, true))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
        DateTime::<Utc>::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit_log::{ActKind, Actor, ActorKind, Subject};
    use crate::domain::identity::canonical_json;

    #[test]
    fn a_digest_is_over_the_documented_bytes() {
        let at = "2026-03-01T10:00:00.5Z".parse().unwrap();
        let block = Block::behind(&Head::start(), at, "{}".to_owned());
        let bytes = format!("mf.audit_block.v1\n1\n2026-03-01T10:00:00.500000Z\n{}\n{{}}", "0".repeat(64));
        assert_eq!(block.digest, Digest::of(bytes.as_bytes()));
        assert_eq!(block.computed(), block.digest);
    }

    /// Fields are declared in the order of their names: the schema's examples, and this one with all of them.
    #[test]
    fn a_text_is_canonical_whatever_it_holds() {
        let schema: serde_json::Value =
            serde_json::from_str(crate::domain::contract::schema_text(crate::domain::contract::SchemaName::AuditActs))
                .unwrap();
        let mut all: serde_json::Value = schema["examples"][0].clone();
        for example in schema["examples"].as_array().unwrap() {
            for (field, value) in example["acts"][0].as_object().unwrap() {
                all["acts"][0][field] = value.clone();
            }
        }
        all["acts"][0]["subject"] = serde_json::json!({
            "run_id": "tr_16a2ad9c3ad29e2e989ece1cb3c61936", "platform_run_id": "p", "request_id": "r", "record": "t/0/1",
            "acknowledged_at": "t/0/2", "registry_event_id": "e"});
        all["acts"][0]["reason"]["code"] = "GATE_FAIL".into();
        let act = &schema["properties"]["acts"]["items"]["properties"];
        for (field, part) in
            [("", act), ("subject", &act["subject"]["properties"]), ("reason", &act["reason"]["properties"])]
        {
            let there = if field.is_empty() { &all["acts"][0] } else { &all["acts"][0][field] };
            assert_eq!(
                there.as_object().unwrap().len(),
                part.as_object().unwrap().len(),
                "{field}: one field is not tried"
            );
        }
        let body: Body = serde_json::from_value(all.clone()).unwrap();
        assert_eq!(Block::text(&body.by, &body.acts), canonical_json(&all));
    }

    #[test]
    fn a_text_reads_back_and_is_canonical() {
        let actor = Actor::new(ActorKind::Operator, "Ägnes");
        let act = Act::new(ActKind::CancelRequested, actor, Subject::default());
        let block = Block::behind(&Head::start(), DateTime::UNIX_EPOCH, Block::text("w", std::slice::from_ref(&act)));
        assert_eq!(block.read().unwrap(), Body { acts: vec![act], by: "w".to_owned() });
        let value: serde_json::Value = serde_json::from_str(&block.body).unwrap();
        assert_eq!(canonical_json(&value), block.body);
    }

    #[test]
    fn a_head_reads_back() {
        let head = Head { seq: 17, digest: Digest::of(b"x") };
        assert_eq!(head.to_string().parse(), Ok(head));
        for bad in ["", "17", "17:xyz", ":", "-1:00"] {
            assert_eq!(bad.parse::<Head>(), Err(InvalidHead), "{bad}");
        }
    }
}
