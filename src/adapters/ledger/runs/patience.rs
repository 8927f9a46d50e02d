//! Patience: what becomes of a run whose attempt failed for want of what it needs.
//!
//! A store is away, an input is not there yet, or the worker's machine has no disk left. None of this is the run's
//! fault, and all of it may pass. Such an attempt does not count, and the run waits for a growing pause. The row counts
//! these tries, and their number gives the length of all pauses so far. Only pauses use up the patience: not the hours that
//! a run trains between two short outages, nor the time that it waits behind other runs.
//!
//! Guarantees: once the pauses add up to `[ledger] outage_patience_seconds`, each further attempt of this kind counts,
//! so that the bound on attempts ends the run, or parks its publication, with the last cause. Never: leaves an attempt
//! uncounted that ended in another way.

use super::lease::{Guarded, Lease};
use crate::adapters::ledger::row::LockedRun;
use crate::adapters::ledger::transaction::{Precondition, Transaction};
use crate::adapters::ledger::{Error, Ledger};
use crate::domain::contract::EventReason;
use crate::domain::run::{ExecutionMode, FailureCode, IllegalTransition, Transition};
use chrono::{SecondsFormat, TimeDelta};

/// Number of pauses that double.
const DOUBLINGS: u32 = 6;
/// Every further pause, in seconds. An hour of patience has 35 tries, and each emits two events.
const LONGEST_PAUSE: u32 = 120;

impl Ledger {
    /// Gives back a run whose worker had no answer from the ledger in time, even if the lease has expired. Returns
    /// [`Guarded::Lost`] and writes nothing if somebody has claimed the run since, or if the worker's last step was
    /// committed after all.
    pub async fn release_after_outage(&self, lease: &Lease) -> Result<Guarded, Error> {
        let mut transaction = self.begin(&lease.worker).await?;
        let claimed = Precondition::ClaimedBy { fence: lease.fence, owner: &lease.worker };
        let Some(mut run) = transaction.lock(lease.run_id.as_str(), claimed).await? else {
            transaction.rollback().await?;
            return Ok(Guarded::Lost);
        };
        let why = format!("worker {} had no answer from the ledger in time", lease.worker);
        transaction.wait_out(&mut run, EventReason::new(FailureCode::LeaseExpired, why))?;
        let Ok(()) = transaction.save(&run).await? else {
            transaction.rollback().await?;
            return Ok(Guarded::Lost);
        };
        transaction.commit(None, None).await?;
        Ok(Guarded::Won(run.state))
    }
}

impl Transaction<'_> {
    /// Makes a run wait for its next try, and takes back the attempt that its claim counted. Once the run's patience is
    /// over, the attempt counts.
    pub fn wait_out(&mut self, run: &mut LockedRun, reason: EventReason) -> Result<(), IllegalTransition> {
        let (waited, patience) = (pauses(run.outage_tries), self.ledger.settings.outage_patience_seconds);
        run.outage_since.get_or_insert(self.at);
        run.outage_tries = run.outage_tries.saturating_add(1);
        if waited >= u64::from(patience) {
            return match run.mode {
                ExecutionMode::PublishOnly => self.defer_publish(run, reason),
                ExecutionMode::Full | ExecutionMode::None => self.requeue(run, reason),
            };
        }
        let pause = pauses(run.outage_tries) - waited;
        run.available_at = self.at + TimeDelta::seconds(pause as i64);
        let next = run.available_at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let message =
            format!("tried again at {next}, after {waited} s of {patience} s of patience: {}", reason.message);
        let reason = EventReason { message: EventReason::capped(&message), ..reason };
        let transition = match run.mode {
            ExecutionMode::PublishOnly => {
                run.publish_retry_attempts -= 1;
                Transition::DeferPublish
            }
            ExecutionMode::Full | ExecutionMode::None => {
                run.full_run_attempts -= 1;
                Transition::Requeue
            }
        };
        self.step(run, transition, Some(reason))
    }
}

/// Seconds of all pauses of a run after so many tries. Pauses last 2, 4, 8… seconds, at most [`LONGEST_PAUSE`].
fn pauses(tries: i32) -> u64 {
    let tries = u32::try_from(tries).unwrap_or(0);
    let doubled = tries.min(DOUBLINGS);
    (1_u64 << (doubled + 1)) - 2 + u64::from(tries - doubled) * u64::from(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_an_hour_has_35() {
        let each: Vec<u64> = (1..=9).map(|tries| pauses(tries) - pauses(tries - 1)).collect();
        assert_eq!(each, [2, 4, 8, 16, 32, 64, 120, 120, 120]);
        assert_eq!((pauses(34), pauses(35)), (3_486, 3_606));
        assert_eq!((pauses(-1), pauses(i32::MAX) > u64::from(u32::MAX)), (0, true));
    }
}
