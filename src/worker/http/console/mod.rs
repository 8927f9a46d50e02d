//! The console at `/`: shows ledger, evidence store and this worker's own loops, as pages for people.
//!
//! Guarantees: works without scripts and loads nothing from other hosts. Every value is escaped, every list bounded. If
//! Postgres or the store is not available, a page says so. Never: changes anything; reads evidence that the ledger does
//! not name.

mod dead_letters;
mod frame;
mod health;
mod query;
mod run;
mod runs;
mod serve;
mod sources;
mod trouble;
mod words;
mod workers;

pub use sources::Console;
