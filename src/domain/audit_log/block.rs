//! A block: the acts of one transaction as text, chained to the previous block. Also the lines of an exported audit
//! log.

use crate::domain::contract::{AuditAct, AuditActs, Head};
use crate::domain::identity::{Digest, Hasher, RunId, canonical_text};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize, Serializer};

/// First line of the hashed text. Because of it, a block's digest never equals another kind of digest of this product.
const DOMAIN: &str = "mf.audit_block.v1";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// Number of the block: 1, 2, 3… without holes.
    pub seq: i64,
    /// When the block's transaction began.
    #[serde(serialize_with = "write_micros")]
    pub at: DateTime<Utc>,
    /// Digest of the previous block.
    pub previous: Digest,
    pub digest: Digest,
    /// The acts as canonical JSON: the text that is hashed.
    pub body: String,
}

/// The first block of a chain that does not pass a check, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("block {seq}: {why}")]
pub struct BrokenBlock {
    pub seq: i64,
    pub why: String,
}

impl Block {
    pub fn text(by: &str, acts: &[AuditAct]) -> String {
        /// [`AuditActs`] by reference, to serialise acts without cloning them.
        #[derive(Serialize)]
        struct BorrowedActs<'a> {
            acts: &'a [AuditAct],
            by: &'a str,
        }
        canonical_text(&BorrowedActs { acts, by })
    }

    pub fn behind(head: &Head, at: DateTime<Utc>, body: String) -> Self {
        let seq = head.seq + 1;
        let digest = digest(seq, at, &head.digest, &body);
        Self { seq, at, previous: head.digest, digest, body }
    }

    /// Computes the digest from the other fields.
    pub fn computed(&self) -> Digest {
        digest(self.seq, self.at, &self.previous, &self.body)
    }

    pub fn read(&self) -> Result<AuditActs, serde_json::Error> {
        serde_json::from_str(&self.body)
    }

    /// Returns the acts if the block's text matches the block's digest. The link to the previous block is not checked.
    pub fn intact(&self) -> Result<AuditActs, BrokenBlock> {
        let broken = |why: String| BrokenBlock { seq: self.seq, why };
        let computed = self.computed();
        if computed != self.digest {
            return Err(broken(format!("its content comes to {computed}, its digest says {}", self.digest)));
        }
        self.read().map_err(|error| broken(format!("its acts do not read: {error}")))
    }

    /// Returns number and digest of this block. The next block is chained to them.
    pub fn head(&self) -> Head {
        Head { seq: self.seq, digest: self.digest }
    }
}

/// Computes SHA-256 over four lines (domain, number, time, digest of the previous block) and the text. The lines
/// contain no line breaks, so that two different blocks never give the same bytes.
fn digest(seq: i64, at: DateTime<Utc>, previous: &Digest, body: &str) -> Digest {
    let mut hasher = Hasher::new();
    hasher.update(format!("{DOMAIN}\n{seq}\n{}\n{previous}\n", micros(&at)).as_bytes());
    hasher.update(body.as_bytes());
    hasher.finish()
}

/// Writes the time as text for the digest, with microseconds.
fn micros(at: &DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn write_micros<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&micros(at))
}

/// A line of an export. There is one line per block, then the ending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    Block(Block),
    Ending(Ending),
}

/// The last line of an export. A copy of this line kept elsewhere proves later whether the log was changed up to
/// `head`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ending {
    pub head: Head,
    /// Number of the first requested block.
    pub from: i64,
    pub blocks: u64,
    /// Set if only the blocks of this run were exported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::contract::{ActKind, ActSubject, Actor, ActorKind, SchemaName, schema_text};
    use crate::domain::identity::canonical_json;

    #[test]
    fn a_digest_is_over_the_documented_bytes() {
        let at = "2026-03-01T10:00:00.5Z".parse().unwrap();
        let block = Block::behind(&Head::start(), at, "{}".to_owned());
        let bytes = format!("mf.audit_block.v1\n1\n2026-03-01T10:00:00.500000Z\n{}\n{{}}", "0".repeat(64));
        assert_eq!(block.digest, Digest::of(bytes.as_bytes()));
        assert_eq!(block.computed(), block.digest);
    }

    /// The digest needs fields that are declared in the order of their names. Checks the schema's examples, and a value
    /// with all fields.
    #[test]
    fn a_text_is_canonical_whatever_it_holds() {
        let schema: serde_json::Value = serde_json::from_str(schema_text(SchemaName::AuditActs)).unwrap();
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
        let body: AuditActs = serde_json::from_value(all.clone()).unwrap();
        assert_eq!(Block::text(&body.by, &body.acts), canonical_json(&all));
    }

    #[test]
    fn a_text_reads_back_and_is_canonical() {
        let actor = Actor::new(ActorKind::Operator, "Ägnes");
        let act = AuditAct::new(ActKind::CancelRequested, actor, ActSubject::default());
        let block = Block::behind(&Head::start(), DateTime::UNIX_EPOCH, Block::text("w", std::slice::from_ref(&act)));
        assert_eq!(block.read().unwrap(), AuditActs { acts: vec![act], by: "w".to_owned() });
        let value: serde_json::Value = serde_json::from_str(&block.body).unwrap();
        assert_eq!(canonical_json(&value), block.body);
    }
}
