//! Queries for people, tools and gauges. Never: writes.

/// Kind and time of the records that are still to be sent, resting ones included. Read in two parts, since each part has
/// an index of its own.
macro_rules! unsent_outbox {
    () => {
        "(SELECT kind, created_at FROM outbox WHERE sent_at IS NULL AND withdrawn_at IS NULL AND set_aside_at IS NULL
                                                AND rests_until IS NULL
          UNION ALL
          SELECT kind, created_at FROM outbox WHERE sent_at IS NULL AND withdrawn_at IS NULL AND set_aside_at IS NULL
                                                AND rests_until IS NOT NULL)"
    };
}

/// Time of the OpenLineage events that are still to be sent, read in two parts for the same reason.
macro_rules! unsent_lineage {
    () => {
        "(SELECT created_at FROM lineage_outbox WHERE sent_at IS NULL AND rests_until IS NULL
          UNION ALL
          SELECT created_at FROM lineage_outbox WHERE sent_at IS NULL AND rests_until IS NOT NULL)"
    };
}

mod console;
mod dead_letters;
mod find;
mod gauges;
mod reconcile;

pub use self::console::{
    Backlog, Depth, LeaseRow, Leases, PagePart, RunCursor, RunPage, RunQuery, RunRow, SearchBy, ShardOwner,
};
pub use dead_letters::{DeadLetterPage, DeadLetterRecord, DeadLetterRow, DeadLetterText, Original};
pub use find::{ActRecord, EmittedEvent, LedgerCounts, RequestRecord, RunRecord, TransitionRecord};
pub use gauges::{EndedRuns, Standing};
