//! Checks whether the loops of this process turn. Each loop reports its turns, and how long its next turn may take.
//! Also says for how long intake has got nothing done.
//!
//! Guarantees: a loop is not late before the time that it announced is over. Never: checks what a loop does in its
//! turns.

use crate::clock;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Deadline of a loop's next turn. `None` while the loop may wait without bound.
type Due = Arc<Mutex<Option<Instant>>>;

/// Knows the loops of a process, and which of them are late. Cheap to clone.
#[derive(Clone)]
pub struct Watchdog {
    bound: Duration,
    loops: Arc<Mutex<BTreeMap<String, Due>>>,
}

/// A loop calls this at each turn. Dropping the value ends the watch of the loop. A default value is not watched.
#[derive(Default)]
pub struct Heartbeat {
    bound: Duration,
    due: Due,
}

impl Watchdog {
    /// Builds a watchdog. A loop is late if a turn takes longer than `bound` plus the time announced with `may_take`.
    pub fn new(bound: Duration) -> Self {
        Self { bound, loops: Arc::default() }
    }

    /// Starts to watch a loop with this name.
    pub fn of(&self, name: impl Into<String>) -> Heartbeat {
        let heartbeat = Heartbeat { bound: self.bound, due: Due::default() };
        heartbeat.turned();
        lock(&self.loops).insert(name.into(), Arc::clone(&heartbeat.due));
        heartbeat
    }

    pub fn late(&self) -> Vec<String> {
        self.late_at(clock::now())
    }

    /// Returns the name of every loop, and whether it is late.
    pub fn lateness(&self) -> Vec<(String, bool)> {
        self.lateness_at(clock::now())
    }

    fn late_at(&self, at: Instant) -> Vec<String> {
        self.lateness_at(at).into_iter().filter_map(|(name, late)| late.then_some(name)).collect()
    }

    fn lateness_at(&self, at: Instant) -> Vec<(String, bool)> {
        let is_late = |due: &Due| lock(due).is_some_and(|due| due < at);
        lock(&self.loops).iter().map(|(name, due)| (name.clone(), is_late(due))).collect()
    }
}

impl Heartbeat {
    pub fn turned(&self) {
        self.may_take(Duration::ZERO);
    }

    /// Reports a turn. The next turn may take `longer` in addition to the bound.
    pub fn may_take(&self, longer: Duration) {
        *lock(&self.due) = Some(clock::now() + longer + self.bound);
    }

    /// Reports that the loop may wait without bound. The loop is not late until it reports its next turn.
    pub fn rests(&self) {
        *lock(&self.due) = None;
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.rests();
    }
}

/// Since when intake gets nothing done, and why; `None` while it gets on. Clones share it. Intake turns while it waits,
/// so the watchdog does not find it late.
#[derive(Clone, Default)]
pub struct IntakeStandstill(Arc<Mutex<Option<(Instant, String)>>>);

impl IntakeStandstill {
    /// How long intake may get nothing done before `check` fails.
    const BOUND: Duration = Duration::from_secs(30);

    pub fn begin(&self, why: &str) {
        let mut standstill = lock(&self.0);
        let since = standstill.as_ref().map_or_else(clock::now, |(since, _)| *since);
        *standstill = Some((since, why.to_owned()));
    }

    pub fn end(&self) {
        *lock(&self.0) = None;
    }

    /// Fails with the reason, if intake has got nothing done for longer than `BOUND`.
    pub fn check(&self) -> Result<(), String> {
        self.check_at(clock::now())
    }

    fn check_at(&self, at: Instant) -> Result<(), String> {
        match &*lock(&self.0) {
            Some((since, why)) if at.saturating_duration_since(*since) > Self::BOUND => {
                Err(format!("for {} seconds: {why}", at.saturating_duration_since(*since).as_secs()))
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_mins(1);
    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn a_loop_that_does_not_turn_is_late_and_no_other() {
        let watchdog = Watchdog::new(BOUND);
        let (stuck, turning) = (watchdog.of("stuck"), watchdog.of("turning"));
        stuck.turned();
        turning.may_take(HOUR);
        assert_eq!(watchdog.late(), [""; 0]);
        assert_eq!(watchdog.late_at(clock::now() + 2 * BOUND), ["stuck"]);
        assert_eq!(watchdog.late_at(clock::now() + HOUR + 2 * BOUND), ["stuck", "turning"]);
        stuck.may_take(HOUR);
        assert_eq!(watchdog.late_at(clock::now() + 2 * BOUND), [""; 0], "it turned after all");
    }

    #[test]
    fn what_stands_still_counts_after_a_while_and_until_it_ends() {
        let standstill = IntakeStandstill::default();
        standstill.begin("first");
        standstill.begin("second");
        assert_eq!(standstill.check(), Ok(()));
        let error = standstill.check_at(clock::now() + 2 * IntakeStandstill::BOUND).unwrap_err();
        assert!(error.contains("second"), "{error}");
        standstill.end();
        assert_eq!(standstill.check_at(clock::now() + 2 * IntakeStandstill::BOUND), Ok(()));
    }

    #[test]
    fn a_loop_that_rests_or_has_ended_is_never_late() {
        let watchdog = Watchdog::new(BOUND);
        let (resting, ended) = (watchdog.of("resting"), watchdog.of("ended"));
        resting.rests();
        drop(ended);
        assert_eq!(watchdog.late_at(clock::now() + 100 * HOUR), [""; 0]);
        resting.turned();
        assert_eq!(watchdog.late_at(clock::now() + 2 * BOUND), ["resting"]);
    }
}
