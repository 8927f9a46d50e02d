//! The loop of one slot: claim a run under a lease, carry it as far as it goes, and again.

use super::attempt::RunAttempt;
use super::open::Runner;
use super::outcome::RunnerOutcome;
use crate::adapters::ledger;
use crate::telemetry::{self, metrics};
use crate::worker::liveness::Heartbeat;
use std::time::Duration;
use tokio::sync::watch;
use tracing::{Instrument as _, info, info_span, warn};

/// Pause of a slot that found nothing to claim.
const IDLE: Duration = Duration::from_millis(250);
/// Pause of a slot whose ledger is away.
const UNAVAILABLE: Duration = Duration::from_secs(2);

impl Runner {
    /// Works until `shutdown` turns true. The run in hand goes on until its end, or until `give_back` turns true.
    pub async fn run(
        &self,
        mut shutdown: watch::Receiver<bool>,
        give_back: &watch::Receiver<bool>,
        heartbeat: &Heartbeat,
    ) {
        while !*shutdown.borrow() {
            heartbeat.turned();
            let pause = match self.turn(give_back, heartbeat).await {
                Ok(RunnerOutcome::Idle) => IDLE,
                Ok(RunnerOutcome::Settled { .. } | RunnerOutcome::Lost { .. }) => continue,
                Err(error) => {
                    warn!(fault = %error, "the runner waits for the ledger");
                    UNAVAILABLE
                }
            };
            // A shutdown cuts only this wait short: a database future must never be dropped.
            let _ = tokio::time::timeout(pause, shutdown.wait_for(|stop| *stop)).await;
        }
    }

    /// Claims one run and carries it as far as it goes, or until `give_back` turns true.
    pub async fn run_once(&self, give_back: &watch::Receiver<bool>) -> Result<RunnerOutcome, ledger::Error> {
        self.turn(give_back, &Heartbeat::default()).await
    }

    async fn turn(
        &self,
        give_back: &watch::Receiver<bool>,
        heartbeat: &Heartbeat,
    ) -> Result<RunnerOutcome, ledger::Error> {
        let Some(lease) = self.ledger.claim(&self.worker).await? else {
            return Ok(RunnerOutcome::Idle);
        };
        let span = info_span!(
            "run",
            otel.name = "run attempt",
            run.id = %lease.run_id,
            run.key = %lease.run_key,
            run.fence = lease.fence,
            // The bridge to OpenTelemetry would export an unsigned number as text.
            run.attempt = i64::from(lease.attempt),
            run.mode = %lease.mode,
        );
        telemetry::set_parent(&span, lease.trace.as_ref(), lease.queued);
        let attempt = async {
            info!("started");
            let _busy = metrics::SLOTS_BUSY.hold(());
            RunAttempt::begin(self, &lease, give_back.clone(), heartbeat).run().await
        };
        attempt.instrument(span).await
    }
}
