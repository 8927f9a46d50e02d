//! From the trainer's lines to the ledger and the topic, at a bounded rate.
//!
//! Guarantees: a trainer that talks much costs the ledger one short statement every two seconds and the topic
//! one event every ten, and a hundred an attempt. Never: holds the work up; drops a database future.

use crate::adapters::ledger::{Lease, Ledger};
use crate::clock;
use crate::domain::contract::EventProgress;
use crate::training::Progress;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tracing::{info, warn};

/// How often progress is told, at the most.
#[derive(Debug, Clone, Copy)]
pub struct ProgressRate {
    /// Between two reports to the ledger.
    pub report_every: Duration,
    /// Between two events, and before the first.
    pub event_every: Duration,
}

impl Default for ProgressRate {
    fn default() -> Self {
        Self { report_every: Duration::from_secs(2), event_every: Duration::from_secs(10) }
    }
}

/// Later events of an attempt come more and more rarely: the pause grows by this share each time.
const GROWTH: f64 = 1.1;
const MOST_EVENTS: u32 = 100;

/// Where the trainer's lines go in. The reports end when it is dropped.
pub(super) struct Teller(watch::Sender<Option<EventProgress>>);

/// The other end.
pub(super) struct Reports(watch::Receiver<Option<EventProgress>>);

pub(super) fn reporting() -> (Teller, Reports) {
    let (sender, receiver) = watch::channel(None);
    (Teller(sender), Reports(receiver))
}

impl Teller {
    pub(super) fn tell(&self, progress: Progress) {
        let percent = (progress.fraction * 100.0).clamp(0.0, 100.0) as u8;
        info!(progress.step, progress.percent = percent, "{}", progress.message);
        self.0.send_replace(Some(EventProgress { step: progress.step, percent, message: progress.message }));
    }
}

impl Reports {
    /// Reports until the teller is gone.
    pub(super) async fn run(mut self, rate: ProgressRate, ledger: &Ledger, lease: &Lease) {
        let mut pace = Pace::new(clock::now(), rate.event_every);
        while self.0.changed().await.is_ok() {
            let latest = self.0.borrow_and_update().clone();
            let Some(latest) = latest else { continue };
            let tell = pace.event_is_due(clock::now());
            match ledger.report_progress(lease, &latest, tell).await {
                Ok(written) => pace.reported(clock::now(), tell && written),
                Err(error) => warn!(fault = %error, "progress could not be written down"),
            }
            // Whoever drops the teller does not wait for this pause.
            let mut closed = self.0.clone();
            let gone = async move { while closed.changed().await.is_ok() {} };
            let _ = tokio::time::timeout(rate.report_every, gone).await;
        }
    }
}

/// When the next event may go out.
struct Pace {
    next_event: Instant,
    pause: Duration,
    events: u32,
}

impl Pace {
    fn new(started: Instant, pause: Duration) -> Self {
        Self { next_event: started + pause, pause, events: 0 }
    }

    fn event_is_due(&self, at: Instant) -> bool {
        self.events < MOST_EVENTS && at >= self.next_event
    }

    fn reported(&mut self, at: Instant, told: bool) {
        if told {
            self.events += 1;
            self.next_event = at + self.pause;
            self.pause = self.pause.mul_f64(GROWTH);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_ten_seconds_apart_at_the_least_and_a_hundred_at_the_most() {
        let start = clock::now();
        let mut pace = Pace::new(start, ProgressRate::default().event_every);
        let mut told = Vec::new();
        for second in 0..10_000_000_u64 {
            let at = start + Duration::from_secs(second);
            let due = pace.event_is_due(at);
            pace.reported(at, due);
            if due {
                told.push(second);
            }
            if told.len() > 120 {
                break;
            }
        }
        assert_eq!(told[..2], [10, 20]);
        assert!(told.windows(2).all(|pair| pair[1] - pair[0] >= 10) && told.len() <= 100, "{told:?}");
    }
}
