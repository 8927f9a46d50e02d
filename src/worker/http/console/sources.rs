//! What the pages are made from.

use crate::adapters::evidence::EvidenceStore;
use crate::adapters::ledger::{Error, Ledger};
use crate::worker::http::health::Health;

pub struct Console {
    /// On connections of its own, which cannot write.
    pub(super) ledger: Ledger,
    /// The store, or why it could not be opened.
    pub(super) store: Result<EvidenceStore, String>,
    /// The loops and needs of this worker.
    pub(super) health: Health,
    /// This worker's name.
    pub(super) worker: String,
}

impl Console {
    /// `store` may say why there is none: the pages then show that in place of evidence.
    pub fn new(
        ledger: &Ledger,
        store: Result<EvidenceStore, String>,
        health: Health,
        worker: String,
    ) -> Result<Self, Error> {
        Ok(Self { ledger: ledger.for_the_console()?, store, health, worker })
    }
}
