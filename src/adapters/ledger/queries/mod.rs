//! Questions of people, tools and gauges. Never: writes.

mod console;
mod dead_letters;
mod find;
mod gauges;
mod reconcile;

pub use self::console::{
    Backlog, DeadLetterPage, DeadLetterRow, DeadLetterText, Depth, EmittedEvent, LeaseRow, Leases, PagePart, RunCursor,
    RunPage, RunQuery, RunRow, SearchBy, ShardOwner,
};
pub use dead_letters::{DeadLetterRecord, Original};
pub use find::{ActRecord, LedgerCounts, RequestRecord, RunRecord, TransitionRecord};
pub use gauges::{EndedRuns, Standing};
