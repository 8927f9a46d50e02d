//! Identifiers that depend only on content: canonical JSON, digests, run key and run id.
//!
//! Guarantees: the same meaning gives the same bytes on every machine. Golden vectors prove that these bytes equal
//! those of the platform's existing implementation. Never: reads a clock, the environment or a file; validates text
//! (`contract` does).

mod canonical;
mod digest;
mod near_key;
mod run_key;

pub use canonical::{canonical_json, canonical_text, document_bytes};
pub use digest::{Digest, Hasher, InvalidDigest};
pub use near_key::{Likeness, likeness, near_key};
pub use run_key::{RunId, RunKey, RunMeaning, lineage_platform_run_id, lineage_run_id, payload_digest, recipe_digest};
