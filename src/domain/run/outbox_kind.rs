//! What a record of the outbox is.

use crate::domain::named::named;

/// Decides the topic of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum OutboxKind {
    /// A `RunLifecycleEvent`.
    Lifecycle,
    /// A `BundlePublication`.
    Publication,
    /// A refused record.
    DeadLetter,
    /// An OpenLineage `RunEvent`; in a table of its own.
    Lineage,
}

named!(OutboxKind, "{:?} is not a kind of outbox record");
