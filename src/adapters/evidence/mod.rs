//! Write-once documents and artifacts on an object store: local disk or S3.
//!
//! Guarantees: a name never changes its bytes; what `put` returned reads back with that digest and, on local disk,
//! is synced. Never: overwrites, deletes, looks for the newest.

mod error;
pub mod layout;
mod path;
mod settings;
mod store;

pub use error::{Error, PutError, ReadError};
pub use layout::RunFolder;
pub use path::{EvidencePath, InvalidPath};
pub use settings::EvidenceSettings;
pub use store::{EvidenceStore, Put};
