//! `/metrics`: what the loops counted, and what is looked at when somebody asks.

use super::Health;
use super::process;
use crate::telemetry::metrics::{self, LoopLabel, MetricsPage, NeedLabel};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinError;

/// Measurements that nobody reads are summed up this often.
const SUM_UP_EVERY: Duration = Duration::from_secs(30);

/// Figures that are looked at when somebody asks for the metrics; cheap to clone.
#[derive(Clone, Default)]
pub struct Figures {
    lasting: Vec<Figure>,
    passing: Vec<Figure>,
}

type Figure = Arc<dyn Fn() + Send + Sync>;

impl Figures {
    /// `look` sets gauges or counters; it may block for a moment.
    pub fn look(&mut self, look: impl Fn() + Send + Sync + 'static) {
        self.lasting.push(Arc::new(look));
    }

    /// `look` shows what may be gone the next time.
    pub fn look_anew(&mut self, look: impl Fn() + Send + Sync + 'static) {
        self.passing.push(Arc::new(look));
    }
}

/// The page as it is now.
pub(super) async fn read(page: MetricsPage, health: Health) -> Result<String, JoinError> {
    let missing = health.at_hand.missing().await;
    for need in health.at_hand.names() {
        metrics::READY.set(NeedLabel(need), yes_or_no(!missing.contains_key(need)));
    }
    for (name, late) in health.watchdog.lateness() {
        metrics::LOOP_LATE.set(LoopLabel(name), yes_or_no(late));
    }
    metrics::DRAINING.set((), yes_or_no(*health.draining.borrow()));
    let reading = tokio::task::spawn_blocking(move || {
        process::measure();
        health.figures.lasting.iter().for_each(|look| look());
        page.render(|| health.figures.passing.iter().for_each(|look| look()))
    });
    reading.await
}

/// Sums measurements up for as long as it is polled.
pub(super) async fn sum_up(page: MetricsPage) {
    loop {
        tokio::time::sleep(SUM_UP_EVERY).await;
        page.sum_up();
    }
}

fn yes_or_no(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}
