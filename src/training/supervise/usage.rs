//! Memory and processor time of child processes, with every process below them.

use crate::clock;
use crate::telemetry::metrics;
use crate::training::sandbox::living_below;
use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::Pid;
use procfs::process::{Process, Stat, Status};
use std::time::{Duration, Instant};

/// What all child processes of this process use together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChildrenUsage {
    /// Resident memory now; a page that several processes share counts for each.
    pub resident_bytes: u64,
    /// Processor time so far, that of ended processes included. One that ended a moment ago may be missing.
    pub cpu_seconds: u64,
}

impl ChildrenUsage {
    pub fn measure() -> Self {
        let mut seconds = getrusage(UsageWho::RUSAGE_CHILDREN).map_or(0.0, |usage| {
            let (user, system) = (usage.user_time(), usage.system_time());
            (user.tv_sec() + system.tv_sec()) as f64 + (user.tv_usec() + system.tv_usec()) as f64 / 1e6
        });
        let mut resident_bytes = 0;
        for stat in living_below(std::process::id() as i32) {
            let ticks = stat.utime + stat.stime + (stat.cutime + stat.cstime).max(0) as u64;
            seconds += ticks as f64 / procfs::ticks_per_second().max(1) as f64;
            resident_bytes += status(&stat).and_then(|status| status.vmrss).unwrap_or(0) * 1024;
        }
        Self { resident_bytes, cpu_seconds: seconds as u64 }
    }
}

/// Samples the resident memory of a child; the most of all samples goes into the metrics when it is dropped.
pub(super) struct PeakMemory {
    pid: Option<i32>,
    peak: u64,
    next: Instant,
    pause: Duration,
}

impl PeakMemory {
    pub(super) fn of(pid: Option<Pid>) -> Self {
        Self { pid: pid.map(Pid::as_raw), peak: 0, next: clock::now(), pause: Duration::from_millis(20) }
    }

    /// Waits until a sample is due (after 20 ms, then twice as long each time up to a second) and takes it.
    /// Cancel-safe.
    pub(super) async fn sample(&mut self) {
        tokio::time::sleep_until(self.next.into()).await;
        self.peak = self.peak.max(self.pid.map_or(0, peak_memory));
        self.pause = (self.pause * 2).min(Duration::from_secs(1));
        self.next = clock::now() + self.pause;
    }
}

impl Drop for PeakMemory {
    fn drop(&mut self) {
        if self.peak > 0 {
            metrics::TRAINER_PEAK_MEMORY.observe((), self.peak as f64);
        }
    }
}

/// The peak resident memory of a process plus that of every process that now lives below it, in bytes.
fn peak_memory(pid: i32) -> u64 {
    let own = Process::new(pid).and_then(|process| process.stat()).ok();
    let tree = own.into_iter().chain(living_below(pid));
    tree.filter_map(|stat| status(&stat)?.vmhwm).sum::<u64>() * 1024
}

fn status(stat: &Stat) -> Option<Status> {
    Process::new(stat.pid).and_then(|process| process.status()).ok()
}
