//! Write-once documents and artifacts on an object store: local disk or S3.
//!
//! Guarantees: a name never changes its bytes; what `put` returned reads back with that digest and, on
//! local disk, has reached the disk. Never: overwrites, deletes, lists what is newest.

pub mod layout;
mod path;
mod store;

pub use layout::RunFolder;
pub use path::{EvidencePath, InvalidPath};
pub use store::{Error, EvidenceSettings, EvidenceStore, Put, PutError, Unshown};
