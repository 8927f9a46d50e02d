//! The outbox: the records that transactions leave for the topics, and how the relay reads and marks them.
//!
//! Guarantees: an event is inserted by the transaction whose change it reports, exactly as it will be on its topic; the
//! records of a stream are sent to each topic in the order of their ids. No lane holds up another one.

mod choice;
mod draft;
mod events;
mod fit;
mod lineage;
mod mark;
mod refused;
mod shards;

pub use choice::Room;
pub(super) use draft::{OutboxDraft, insert_outbox};
pub(super) use events::{NewEvent, lifecycle_draft, publication_draft, refusal_drafts};
pub use lineage::DatasetsKnown;
pub(super) use lineage::{LineageEffects, insert_lineage};

use crate::adapters::ledger::Coordinates;
use crate::domain::run::OutboxKind;

/// Records of one topic, which are sent independently of the other lanes. The lifecycle topic has two lanes: events of
/// runs, and events about rejected records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, strum::VariantArray)]
pub enum Lane {
    /// Events of runs.
    RunEvents,
    Publications,
    /// Events about rejected records.
    RefusalEvents,
    DeadLetters,
    Lineage,
}

impl Lane {
    pub fn kind(self) -> OutboxKind {
        match self {
            Self::RunEvents | Self::RefusalEvents => OutboxKind::Lifecycle,
            Self::Publications => OutboxKind::Publication,
            Self::DeadLetters => OutboxKind::DeadLetter,
            Self::Lineage => OutboxKind::Lineage,
        }
    }

    /// Returns the first three characters of the names of the lane's streams: those of a run id, or of `refused:`.
    fn stream_prefix(self) -> &'static str {
        match self {
            Self::RunEvents | Self::Publications | Self::Lineage => "tr_",
            Self::RefusalEvents | Self::DeadLetters => "ref",
        }
    }

    /// Whether several records of a stream may be in flight, and have to arrive in order.
    pub fn is_ordered(self) -> bool {
        match self {
            Self::RunEvents | Self::Lineage => true,
            Self::Publications | Self::RefusalEvents | Self::DeadLetters => false,
        }
    }
}

/// A record that the relay has to send, exactly as it will be on its topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    pub id: i64,
    /// Id of the run, or of the rejected record: records of one stream are sent in order.
    pub stream: String,
    pub shard: i16,
    pub kind: OutboxKind,
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
    pub headers: Vec<(String, Vec<u8>)>,
}

/// A sixteenth of the streams; at most one relay holds it at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx_macros::FromRow)]
pub struct Shard {
    /// 0 to 15.
    pub shard: i16,
    /// Fencing token: a relay names it when it marks a record as sent; a relay that takes the shard over raises it.
    pub fence: i64,
}

/// A record that the broker acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub id: i64,
    /// Says of which table `id` is: `lineage_outbox` for lineage, `outbox` for everything else.
    pub kind: OutboxKind,
    /// The shard under whose fence it was sent.
    pub shard: Shard,
    pub coordinates: Coordinates,
}
