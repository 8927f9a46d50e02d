//! Which shards of the outbox this relay sends: an equal part of them for each relay that lives.

use crate::adapters::ledger::{self, Ledger, Shard};
use crate::clock::Stopwatch;
use std::time::Duration;

/// A fifth of the lease on shards, so that several renewals may fail.
const RENEW_EVERY: Duration = Duration::from_secs(1);

/// The shards that a relay holds.
pub(super) struct Holding {
    shards: Vec<Shard>,
    /// Shards beyond this relay's part. It chooses nothing of them any more, and gives them back at the next renewal.
    /// Records of them that are not acknowledged by then are sent a second time, by another relay.
    leaving: Vec<i16>,
    /// Time since the shards were last taken or renewed; `None` if the next turn must take them.
    renewed: Option<Stopwatch>,
}

impl Holding {
    pub(super) fn none() -> Self {
        Self { shards: Vec::new(), leaving: Vec::new(), renewed: None }
    }

    /// Renews, takes and gives back shards, if it is time for that.
    pub(super) async fn keep(&mut self, ledger: &Ledger, relay: &str) -> Result<(), ledger::Error> {
        if !self.until_renewal().is_zero() {
            return Ok(());
        }
        let renewed = Stopwatch::start();
        if !self.leaving.is_empty() {
            ledger.give_back_shards(relay, &self.leaving).await?;
            self.leaving.clear();
        }
        let share = ledger.join_relays(relay).await?;
        self.shards = ledger.take_shards(relay, share).await?;
        self.leaving = self.shards.iter().skip(share).map(|shard| shard.shard).collect();
        self.renewed = Some(renewed);
        Ok(())
    }

    pub(super) fn until_renewal(&self) -> Duration {
        self.renewed.as_ref().map_or(Duration::ZERO, |at| RENEW_EVERY.saturating_sub(at.elapsed()))
    }

    /// Makes the next turn ask which shards this relay holds: another relay may hold some of them by now.
    pub(super) fn doubt(&mut self) {
        self.renewed = None;
    }

    /// Returns the numbers of the shards of which records are chosen.
    pub(super) fn numbers(&self) -> Vec<i16> {
        self.shards.iter().map(|shard| shard.shard).filter(|number| !self.leaving.contains(number)).collect()
    }

    pub(super) fn find(&self, number: i16) -> Option<Shard> {
        self.shards.iter().copied().find(|shard| shard.shard == number)
    }
}
