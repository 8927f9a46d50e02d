//! What the console shows.
//!
//! Guarantees: every statement is bounded in rows and in time, and finds its way by an index. Never: writes, which the
//! server itself refuses on these connections; takes a connection that the loops need.

mod backlog;
mod connection;
mod dead_letters;
mod events;
mod page;
mod runs;

pub use backlog::{Backlog, Depth, LeaseRow, Leases, ShardOwner};
pub use dead_letters::{DeadLetterPage, DeadLetterRow, DeadLetterText};
pub use events::EmittedEvent;
pub use page::{PagePart, RunCursor, RunQuery, SearchBy};
pub use runs::{RunPage, RunRow};
