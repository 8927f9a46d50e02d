//! The outbox: what transactions leave for the topics, and the relay's side of it.
//!
//! Guarantees: an event is inserted by the transaction whose change it reports, exactly as it will be on its topic; the
//! records of a stream are sent in the order of their ids. Lineage has a table of its own and blocks no stream.

mod draft;
mod events;
mod lineage;
mod relay;

pub(super) use draft::{OutboxDraft, insert_outbox};
pub(super) use events::{NewEvent, lifecycle_draft, publication_draft, refusal_drafts};
pub use lineage::DatasetsKnown;
pub(super) use lineage::{LineageEffects, insert_lineage};

use crate::adapters::ledger::Coordinates;
use crate::domain::run::OutboxKind;

/// A record that the relay has to send, exactly as it will be on the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    pub id: i64,
    /// The run, or the refused record, within which order counts.
    pub stream: String,
    pub shard: i16,
    pub kind: OutboxKind,
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
    pub headers: Vec<(String, Vec<u8>)>,
}

/// A sixteenth of the streams, held by one relay at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx_macros::FromRow)]
pub struct Shard {
    /// 0 to 15.
    pub shard: i16,
    /// Every mark must name it: another relay that takes the shard raises it.
    pub fence: i64,
}

/// A record that the broker acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub id: i64,
    /// Decides the table that `id` is of.
    pub kind: OutboxKind,
    /// The shard under which it was sent.
    pub shard: Shard,
    pub coordinates: Coordinates,
}
