//! Queries for people, tools and gauges. Never: writes.

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
