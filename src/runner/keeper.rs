//! What an attempt knows of its lease: go on, or why not.

use super::Interrupted;
use super::heart::{Heart, Stop};
use crate::ledger::Lease;
use tokio::sync::watch;

/// Holds one lease through the worker's heart until it is dropped.
pub(super) struct Keeper<'a> {
    heart: &'a Heart,
    lease: &'a Lease,
    stop: watch::Receiver<Stop>,
    shutdown: watch::Receiver<bool>,
}

impl<'a> Keeper<'a> {
    pub(super) fn start(heart: &'a Heart, lease: &'a Lease, shutdown: watch::Receiver<bool>) -> Self {
        Self { heart, lease, stop: heart.hold(lease), shutdown }
    }

    /// Between two steps: go on, or why not.
    pub(super) fn check(&self) -> Result<(), Interrupted> {
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
