//! The outbox: what transactions leave for the topics, and the relay's side of it.
//!
//! Guarantees: an event is inserted by the transaction whose change it reports, exactly as it will be on its topic; the
//! records of a stream are sent in the order of their ids. Lineage has a table of its own and blocks no stream.

mod draft;
mod events;
mod headers;
mod lineage;
mod record;
mod refusals;
mod relay;

pub(super) use draft::{OutboxDraft, insert_outbox};
pub(super) use events::{NewEvent, lifecycle_draft, publication_draft};
pub(super) use headers::header;
pub use lineage::DatasetsKnown;
pub(super) use lineage::{LineageEffects, insert_lineage};
pub use record::{OutboxRow, Sent, Shard};
pub(super) use refusals::refusal_drafts;
