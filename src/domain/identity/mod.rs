//! Names that follow from content alone: canonical JSON, digests, the run key and the run id.
//!
//! Guarantees: the same meaning gives the same bytes on every machine, and the bytes equal those of
//! the platform's existing implementation (proven by the golden vectors).
//! Never: reads a clock, the environment or a file; validates text (that is `contract`'s work).

mod canonical;
mod digest;
mod near_key;
mod run_key;

pub use canonical::{canonical_json, canonical_text, document_bytes};
pub use digest::{Digest, Hasher, InvalidDigest};
pub use near_key::{Likeness, likeness, near_key};
pub use run_key::{RunId, RunKey, RunMeaning, lineage_platform_run_id, lineage_run_id, payload_digest, recipe_digest};
