//! The loop of one slot: claim a run under a lease, carry it as far as it goes, and again.

use super::attempt::RunAttempt;
use super::open::Runner;
use super::outcome::RunnerOutcome;
use crate::adapters::ledger::{self, Guarded, Lease};
use crate::telemetry::{self, metrics};
use crate::worker::liveness::Heartbeat;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tracing::{Instrument as _, info, info_span, warn};

/// Pause of a slot that found nothing to claim, or may not claim yet.
const IDLE: Duration = Duration::from_millis(250);
/// Pause of a slot after an error of the ledger.
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
            // A shutdown cuts only this wait short, and drops no database future.
            let _ = tokio::time::timeout(pause, shutdown.wait_for(|stop| *stop)).await;
        }
    }

    /// Claims one run and carries it as far as it goes, or until `give_back` turns true. Does not ask the [`ClaimPace`].
    ///
    /// [`ClaimPace`]: super::ClaimPace
    pub async fn run_once(&self, give_back: &watch::Receiver<bool>) -> Result<RunnerOutcome, ledger::Error> {
        self.carry_next(give_back, &Heartbeat::default()).await
    }

    async fn turn(
        &self,
        give_back: &watch::Receiver<bool>,
        heartbeat: &Heartbeat,
    ) -> Result<RunnerOutcome, ledger::Error> {
        self.give_back_interrupted().await?;
        if self.claims.may_claim() { self.carry_next(give_back, heartbeat).await } else { Ok(RunnerOutcome::Idle) }
    }

    async fn carry_next(
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
        let ended = attempt.instrument(span).await;
        let is_interrupted = match &ended {
            Ok(outcome) => matches!(outcome, RunnerOutcome::Lost { .. }),
            // The same step would be refused again. The lease expires, and the attempt counts.
            Err(ledger::Error::Refused(_) | ledger::Error::Unfit(_)) => false,
            Err(_) => true,
        };
        if is_interrupted {
            self.interrupted().push(lease);
        }
        ended
    }

    /// Gives back the runs whose attempts lost their lease or got an error from the ledger, if nobody has claimed them
    /// since. Within the runs' patience these attempts do not count.
    async fn give_back_interrupted(&self) -> Result<(), ledger::Error> {
        while let Some(lease) = self.next_interrupted() {
            match self.ledger.release_after_outage(&lease).await {
                Ok(Guarded::Won(state)) => {
                    info!(run.id = %lease.run_id, run.state = %state, "gave a run back: the ledger had not answered");
                }
                Ok(Guarded::Lost) => {}
                // The lease expires, and maintenance rescues the run.
                Err(error @ (ledger::Error::Refused(_) | ledger::Error::Unfit(_))) => {
                    warn!(run.id = %lease.run_id, fault = %error, "a run could not be given back");
                }
                Err(error) => {
                    self.interrupted().push(lease);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Takes one lease to give back; `None` if there is none. The lock is free again before the caller asks the ledger.
    fn next_interrupted(&self) -> Option<Lease> {
        self.interrupted().pop()
    }

    fn interrupted(&self) -> MutexGuard<'_, Vec<Lease>> {
        self.interrupted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
