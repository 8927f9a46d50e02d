//! The console at `/`: what the ledger, the evidence store and this worker's own loops say, as pages for people.
//!
//! Guarantees: works without scripts and loads nothing from elsewhere; every value is escaped, every list bounded;
//! answers with a page that says so where Postgres or the store is away. Never: changes anything; opens a place that
//! the ledger does not name.

mod evidence;
mod frame;
mod headers;
mod health;
mod letters;
mod query;
mod run;
mod runs;
mod serve;
mod style;
mod trouble;
mod words;
mod workers;

use crate::adapters::evidence::EvidenceStore;
use crate::adapters::ledger::{Error, Ledger};
use crate::worker::http::Health;

/// What the pages are made from.
pub struct Console {
    /// On connections of its own, which cannot write.
    ledger: Ledger,
    /// Or why it could not be opened here.
    store: Result<EvidenceStore, String>,
    /// This worker's loops and what it needs.
    health: Health,
    /// This worker.
    worker: String,
}

impl Console {
    /// Of this worker. `store` may say why there is none: the pages then say so where they would show evidence.
    pub fn new(
        ledger: &Ledger,
        store: Result<EvidenceStore, String>,
        health: Health,
        worker: String,
    ) -> Result<Self, Error> {
        Ok(Self { ledger: ledger.for_the_console()?, store, health, worker })
    }
}
