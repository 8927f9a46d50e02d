//! What an attempt knows of its lease: go on, or why not; and what it tells about itself: it goes on.

use super::Interrupted;
use super::heart::{Heart, Stop};
use crate::adapters::ledger::Lease;
use crate::worker::liveness::Heartbeat;
use std::time::Duration;
use tokio::sync::watch;

/// Holds one lease through the worker's heart until it is dropped.
pub(super) struct Keeper<'a> {
    heart: &'a Heart,
    lease: &'a Lease,
    stop: watch::Receiver<Stop>,
    shutdown: watch::Receiver<bool>,
    heartbeat: &'a Heartbeat,
}

/// How long a stage may take that trains nothing: it reads and writes documents, and tries again by itself.
const SLOW_STAGE: Duration = Duration::from_mins(10);

impl<'a> Keeper<'a> {
    pub(super) fn start(
        heart: &'a Heart,
        lease: &'a Lease,
        shutdown: watch::Receiver<bool>,
        heartbeat: &'a Heartbeat,
    ) -> Self {
        heartbeat.may_take(SLOW_STAGE);
        Self { heart, lease, stop: heart.hold(lease), shutdown, heartbeat }
    }

    /// What comes now is bounded by this, and may take so long.
    pub(super) fn may_take(&self, seconds: u32) {
        self.heartbeat.may_take(SLOW_STAGE.max(Duration::from_secs(u64::from(seconds))));
    }

    /// Between two steps: go on, or why not.
    pub(super) fn check(&self) -> Result<(), Interrupted> {
        self.heartbeat.may_take(SLOW_STAGE);
        match *self.stop.borrow() {
            Stop::Lost => Err(Interrupted::Lost),
            Stop::Cancelled => Err(Interrupted::Cancelled),
            Stop::Go if *self.shutdown.borrow() => Err(Interrupted::HandBack),
            Stop::Go => Ok(()),
        }
    }

    /// Resolves when [`Self::check`] no longer says to go on.
    pub(super) async fn stopped(&self) {
        let (mut stop, mut shutdown) = (self.stop.clone(), self.shutdown.clone());
        tokio::select! {
            _ = stop.wait_for(|stop| *stop != Stop::Go) => {}
            _ = shutdown.wait_for(|stop| *stop) => {}
        }
    }
}

impl Drop for Keeper<'_> {
    fn drop(&mut self) {
        self.heart.let_go(self.lease);
    }
}
