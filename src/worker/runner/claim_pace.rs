//! Says when a worker may claim. After an attempt that failed for want of what every run needs, such as disk or the
//! evidence store, the next attempt would fail the same way. So the worker claims one run at a time, after growing
//! pauses, until an attempt goes through. It does not try the whole queue, and other workers take what it leaves.
//!
//! Never: makes a worker wait because of an input, which only one run needs.

use crate::clock;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// An outage that no attempt has met for this long is no longer reported: it may be over while no run was there to try.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(1);

/// Shared by the slots of a worker. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ClaimPace(Arc<Mutex<Option<WorkerOutage>>>);

#[derive(Debug)]
struct WorkerOutage {
    why: String,
    met_at: Instant,
    pause: Duration,
    next_claim: Instant,
}

impl ClaimPace {
    pub(super) fn met_outage(&self, why: &str) {
        self.met_outage_at(why, clock::now());
    }

    fn met_outage_at(&self, why: &str, at: Instant) {
        let mut outage = self.lock();
        let pause = outage.as_ref().map_or(FIRST_PAUSE, |outage| (outage.pause * 2).min(LONGEST_PAUSE));
        *outage = Some(WorkerOutage { why: why.to_owned(), met_at: at, pause, next_claim: at + pause });
    }

    pub(super) fn went_through(&self) {
        *self.lock() = None;
    }

    /// Returns whether the caller may claim now. During an outage one caller may after each pause.
    pub(super) fn may_claim(&self) -> bool {
        self.may_claim_at(clock::now())
    }

    fn may_claim_at(&self, at: Instant) -> bool {
        let mut outage = self.lock();
        let Some(outage) = outage.as_mut() else { return true };
        let is_due = at >= outage.next_claim;
        if is_due {
            outage.next_claim = at + outage.pause;
        }
        is_due
    }

    /// Fails with the reason of the last outage, if an attempt met it less than `FORGOTTEN_AFTER` ago and none has gone
    /// through since.
    pub fn check(self) -> std::future::Ready<Result<(), String>> {
        std::future::ready(match self.lock().as_ref() {
            Some(outage) if clock::now() - outage.met_at < FORGOTTEN_AFTER => Err(outage.why.clone()),
            Some(_) | None => Ok(()),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<WorkerOutage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn during_an_outage_one_slot_tries_at_a_time_until_one_goes_through() {
        let (claims, start) = (ClaimPace::default(), clock::now());
        assert!(claims.may_claim_at(start));
        let mut at = start;
        for seconds in [1, 2, 4, 8, 15, 15] {
            claims.met_outage_at("disk full", at);
            at += Duration::from_secs(seconds - 1);
            assert!(!claims.may_claim_at(at), "{seconds} s are not over");
            at += Duration::from_secs(1);
            assert!(claims.may_claim_at(at), "one slot tries");
            assert!(!claims.may_claim_at(at), "the others wait for its outcome");
        }
        claims.met_outage("disk full");
        assert_eq!(claims.clone().check().await, Err("disk full".to_owned()));
        claims.went_through();
        assert_eq!(claims.clone().check().await, Ok(()));
        assert!(claims.may_claim_at(at));
    }
}
