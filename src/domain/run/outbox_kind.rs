//! What a record of the outbox is.

/// Decides the topic of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::EnumString, strum::IntoStaticStr, strum::VariantArray)]
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

impl OutboxKind {
    pub const ALL: [Self; 4] = [Self::Lifecycle, Self::Publication, Self::DeadLetter, Self::Lineage];

    /// The name in the ledger.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
