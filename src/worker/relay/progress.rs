//! Whether the relay makes progress, for `/readyz`: a relay is not ready while a topic acknowledges nothing although
//! records wait.

use crate::adapters::ledger::Lane;
use crate::clock;
use std::collections::BTreeMap;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// For how long a topic may acknowledge nothing while records wait.
const PATIENCE: Duration = Duration::from_secs(15);

/// What each lane of a relay waits for; clones share it.
#[derive(Clone, Default)]
pub struct RelayProgress(Arc<Mutex<BTreeMap<Lane, Standstill>>>);

struct Standstill {
    topic: String,
    /// Time since which records wait and none was acknowledged.
    since: Instant,
    why: Option<String>,
}

impl RelayProgress {
    /// Fails with the topics that have acknowledged nothing for `PATIENCE` while records wait, and why, as far as that
    /// is known.
    pub fn check(self) -> Ready<Result<(), String>> {
        let late = self.late_at(clock::now());
        ready(if late.is_empty() { Ok(()) } else { Err(late.join("; ")) })
    }

    /// Notes that records of this lane wait, from now on if none waited before.
    pub(super) fn waits(&self, lane: Lane, topic: &str) {
        let standstill = || Standstill { topic: topic.to_owned(), since: clock::now(), why: None };
        self.lanes().entry(lane).or_insert_with(standstill);
    }

    pub(super) fn failed(&self, lane: Lane, why: &str) {
        if let Some(standstill) = self.lanes().get_mut(&lane) {
            standstill.why = Some(why.to_owned());
        }
    }

    /// Notes that the topic acknowledged records.
    pub(super) fn acknowledged(&self, lane: Lane) {
        if let Some(standstill) = self.lanes().get_mut(&lane) {
            (standstill.since, standstill.why) = (clock::now(), None);
        }
    }

    pub(super) fn nothing_waits(&self, lane: Lane) {
        self.lanes().remove(&lane);
    }

    fn late_at(&self, at: Instant) -> Vec<String> {
        let lanes = self.lanes();
        let late = lanes.values().filter(|standstill| at.saturating_duration_since(standstill.since) > PATIENCE);
        late.map(|Standstill { topic, since, why }| {
            let seconds = at.saturating_duration_since(*since).as_secs();
            let why = why.as_deref().unwrap_or("no broker answers");
            format!("records wait for {topic}, which has acknowledged none for {seconds} s: {why}")
        })
        .collect()
    }

    fn lanes(&self) -> MutexGuard<'_, BTreeMap<Lane, Standstill>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_acknowledges_nothing_is_named_and_no_other() {
        let progress = RelayProgress::default();
        progress.waits(Lane::DeadLetters, "dead");
        progress.failed(Lane::DeadLetters, "no such topic");
        progress.waits(Lane::Lineage, "lineage");
        progress.nothing_waits(Lane::Lineage);
        assert_eq!(progress.late_at(clock::now()), [""; 0], "it may take its time");
        let late = progress.late_at(clock::now() + 2 * PATIENCE);
        assert_eq!(late.len(), 1);
        assert!(late[0].contains("dead") && late[0].contains("no such topic"), "{late:?}");
        progress.acknowledged(Lane::DeadLetters);
        let later = clock::now() + 2 * PATIENCE;
        assert!(progress.late_at(later)[0].contains("no broker answers"), "what it said is over");
    }
}
