//! What an attempt asks about its lease: may it go on, and if not, why.

use super::renewer::{Renewer, StopSignal};
use crate::adapters::ledger::Lease;
use crate::worker::liveness::Heartbeat;
use crate::worker::runner::interrupted::Interrupted;
use std::time::Duration;
use tokio::sync::watch;

/// Has one lease renewed until it is dropped.
pub(in crate::worker::runner) struct Guard<'a> {
    renewer: &'a Renewer,
    lease: &'a Lease,
    stop: watch::Receiver<StopSignal>,
    give_back: watch::Receiver<bool>,
    heartbeat: &'a Heartbeat,
}

/// Bound on a stage that does not train: it reads and writes documents, with retries of its own.
const SLOW_STAGE: Duration = Duration::from_mins(10);

impl<'a> Guard<'a> {
    pub(in crate::worker::runner) fn start(
        renewer: &'a Renewer,
        lease: &'a Lease,
        give_back: watch::Receiver<bool>,
        heartbeat: &'a Heartbeat,
    ) -> Self {
        heartbeat.may_take(SLOW_STAGE);
        Self { renewer, lease, stop: renewer.hold(lease), give_back, heartbeat }
    }

    /// The work that follows is bounded by so many seconds; the watchdog does not call the slot stuck before that.
    pub(in crate::worker::runner) fn may_take(&self, seconds: u32) {
        self.heartbeat.may_take(SLOW_STAGE.max(Duration::from_secs(u64::from(seconds))));
    }

    /// An error says why the attempt must not take its next step.
    pub(in crate::worker::runner) fn check(&self) -> Result<(), Interrupted> {
        self.heartbeat.may_take(SLOW_STAGE);
        match *self.stop.borrow() {
            StopSignal::Lost => Err(Interrupted::Lost),
            StopSignal::Cancelled => Err(Interrupted::Cancelled),
            StopSignal::Go if *self.give_back.borrow() => Err(Interrupted::HandBack),
            StopSignal::Go => Ok(()),
        }
    }

    /// Resolves when [`Self::check`] would give an error.
    pub(in crate::worker::runner) async fn stopped(&self) {
        let (mut stop, mut give_back) = (self.stop.clone(), self.give_back.clone());
        tokio::select! {
            _ = stop.wait_for(|stop| *stop != StopSignal::Go) => {}
            _ = give_back.wait_for(|give_back| *give_back) => {}
        }
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.renewer.let_go(self.lease);
    }
}
