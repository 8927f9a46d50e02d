//! Figures computed from measured durations.

use crate::clock::Stopwatch;
use serde::Serialize;
use std::time::Duration;

/// The result of one part of a benchmark.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    pub name: String,
    /// Unit of `count`, for example `request`.
    pub unit: &'static str,
    pub count: u64,
    /// `count` divided by the time of the work itself. Preparation is not timed.
    pub per_second: f64,
    /// What one latency covers, for example `batch of up to 1000`.
    pub latency_of: String,
    pub latency_ms: LatencyMs,
    /// Cost to the database. `None` if it was not measured.
    pub cost: Option<Cost>,
    /// Resident memory of this process at the end, in MiB.
    pub resident_mib: u64,
}

/// Percentiles of the latencies by nearest rank, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LatencyMs {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

/// Cost to the database, per unit.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Cost {
    pub commits: f64,
    /// Bytes of write-ahead log.
    pub wal_bytes: f64,
}

/// Durations of repetitions of the same work.
#[derive(Debug, Default)]
pub(super) struct Laps(Vec<Duration>);

impl Laps {
    /// Times one repetition.
    pub(super) async fn lap<T>(&mut self, work: impl Future<Output = T>) -> T {
        let since = Stopwatch::start();
        let done = work.await;
        self.push(since.elapsed());
        done
    }

    pub(super) fn push(&mut self, lap: Duration) {
        self.0.push(lap);
    }

    pub(super) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Computes the figures of laps that ran one after the other.
    pub(super) fn figures(self, name: &str, unit: &'static str, count: u64, latency_of: &str) -> Figures {
        let total = self.0.iter().sum();
        self.figures_within(total, name, unit, count, latency_of)
    }

    /// Computes the figures of laps that ran at the same time, all within `total`.
    pub(super) fn figures_within(
        mut self,
        total: Duration,
        name: &str,
        unit: &'static str,
        count: u64,
        latency_of: &str,
    ) -> Figures {
        self.0.sort_unstable();
        Figures {
            name: name.to_owned(),
            unit,
            count,
            per_second: count as f64 / total.as_secs_f64(),
            latency_of: latency_of.to_owned(),
            latency_ms: LatencyMs { p50: self.rank(0.5), p99: self.rank(0.99), max: self.rank(1.0) },
            cost: None,
            resident_mib: resident_mib(),
        }
    }

    fn rank(&self, share: f64) -> f64 {
        let index = (share * self.0.len() as f64).ceil() as usize;
        self.0.get(index.saturating_sub(1)).map_or(f64::NAN, |lap| lap.as_secs_f64() * 1e3)
    }
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let laps = Laps((1..=100).map(Duration::from_millis).collect());
        let figures = laps.figures("x", "x", 100, "x");
        assert_eq!(figures.latency_ms, LatencyMs { p50: 50.0, p99: 99.0, max: 100.0 });
        assert!((figures.per_second - 100.0 / 5.05).abs() < 1e-9);
    }
}
