//! Which shards of the outbox this relay sends: its part among the relays that live.

use crate::adapters::ledger::{self, Ledger, Shard};
use crate::clock::Stopwatch;
use std::time::Duration;

/// A fifth of the lease on shards, so that several renewals may fail.
const RENEW_EVERY: Duration = Duration::from_secs(1);

/// The shards that a relay holds.
pub(super) struct Holding {
    shards: Vec<Shard>,
    /// Shards beyond this relay's part: it chooses nothing of them any more, and gives them back at the next renewal, when
    /// what is in flight has been acknowledged. If it has not, another relay sends it a second time.
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

    /// The next turn asks which shards this relay holds: somebody else may hold some by now.
    pub(super) fn doubt(&mut self) {
        self.renewed = None;
    }

    /// The shards to choose records of.
    pub(super) fn numbers(&self) -> Vec<i16> {
        self.shards.iter().map(|shard| shard.shard).filter(|number| !self.leaving.contains(number)).collect()
    }

    pub(super) fn find(&self, number: i16) -> Option<Shard> {
        self.shards.iter().copied().find(|shard| shard.shard == number)
    }
}
