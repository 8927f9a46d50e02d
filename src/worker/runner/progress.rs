//! Reports the trainer's progress to the ledger and the lifecycle topic, at a bounded rate.
//!
//! Guarantees: however many lines a trainer prints, an attempt reports to the ledger at most every two seconds, and to
//! the topic at most every ten seconds and a hundred times. Never: holds the work up; drops a database future.

use crate::adapters::ledger::{Lease, Ledger};
use crate::clock;
use crate::domain::contract::EventProgress;
use crate::training::ChildProgress;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tracing::{info, warn};

#[derive(Debug, Clone, Copy)]
pub struct ProgressRate {
    /// Shortest pause between two statements to the ledger.
    pub report_every: Duration,
    /// Pause before the first event and after it; each later pause is longer by `GROWTH`.
    pub event_every: Duration,
}

impl Default for ProgressRate {
    fn default() -> Self {
        Self { report_every: Duration::from_secs(2), event_every: Duration::from_secs(10) }
    }
}

/// Factor by which the pause between events grows after each event.
const GROWTH: f64 = 1.1;
const MOST_EVENTS: u32 = 100;

/// Takes the trainer's progress. [`ProgressReports::run`] ends when this value is dropped.
pub(super) struct ProgressSender(watch::Sender<Option<EventProgress>>);

/// Holds only the latest progress; an older one that was not reported in time is dropped.
pub(super) struct ProgressReports(watch::Receiver<Option<EventProgress>>);

pub(super) fn progress_channel() -> (ProgressSender, ProgressReports) {
    let (sender, receiver) = watch::channel(None);
    (ProgressSender(sender), ProgressReports(receiver))
}

impl ProgressSender {
    pub(super) fn report(&self, progress: ChildProgress) {
        let percent = (progress.fraction * 100.0).clamp(0.0, 100.0) as u8;
        info!(progress.step, progress.percent = percent, "{}", progress.message);
        self.0.send_replace(Some(EventProgress { step: progress.step, percent, message: progress.message }));
    }
}

impl ProgressReports {
    /// Reports until the sender is dropped.
    pub(super) async fn run(mut self, rate: ProgressRate, ledger: &Ledger, lease: &Lease) {
        let mut events = EventRate::new(clock::now(), rate.event_every);
        while self.0.changed().await.is_ok() {
            let latest = self.0.borrow_and_update().clone();
            let Some(latest) = latest else { continue };
            let emit = events.is_due(clock::now());
            match ledger.report_progress(lease, &latest, emit).await {
                Ok(written) if emit && written => events.emitted(clock::now()),
                Ok(_) => {}
                Err(error) => warn!(fault = %error, "progress could not be written down"),
            }
            // The pause ends early when the attempt drops the sender.
            let mut closed = self.0.clone();
            let gone = async move { while closed.changed().await.is_ok() {} };
            let _ = tokio::time::timeout(rate.report_every, gone).await;
        }
    }
}

/// Decides when the next event of an attempt may go out.
struct EventRate {
    next_at: Instant,
    pause: Duration,
    emitted: u32,
}

impl EventRate {
    fn new(started: Instant, pause: Duration) -> Self {
        Self { next_at: started + pause, pause, emitted: 0 }
    }

    fn is_due(&self, at: Instant) -> bool {
        self.emitted < MOST_EVENTS && at >= self.next_at
    }

    fn emitted(&mut self, at: Instant) {
        self.emitted += 1;
        self.next_at = at + self.pause;
        self.pause = self.pause.mul_f64(GROWTH);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_ten_seconds_apart_at_the_least_and_a_hundred_at_the_most() {
        let start = clock::now();
        let mut events = EventRate::new(start, ProgressRate::default().event_every);
        let mut emitted = Vec::new();
        for second in 0..10_000_000_u64 {
            let at = start + Duration::from_secs(second);
            if events.is_due(at) {
                events.emitted(at);
                emitted.push(second);
            }
            if emitted.len() > 120 {
                break;
            }
        }
        assert_eq!(emitted[..2], [10, 20]);
        assert!(emitted.windows(2).all(|pair| pair[1] - pair[0] >= 10) && emitted.len() <= 100, "{emitted:?}");
    }
}
