//! Measures how much memory a trainer may have, and how much memory and processor time child processes use.

use crate::clock;
use crate::telemetry::metrics;
use crate::training::sandbox::living_below;
use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::Pid;
use procfs::process::{Process, Stat, Status};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The memory in MiB that is kept for the worker itself.
const RESERVE_MIB: u64 = 256;

/// Returns the memory in MiB for a trainer: the machine's memory or the lowest limit of this process's control groups,
/// whichever is less, minus `RESERVE_MIB`. `None` if the system reports neither.
pub fn available_memory_mib() -> Option<u32> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_of_machine(&text));
    let limits = limit_files(&groups).into_iter().filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok());
    let bytes = limits.chain(machine).min()?;
    let mib: u64 = (bytes / (1024 * 1024)).saturating_sub(RESERVE_MIB);
    Some(u32::try_from(mib).unwrap_or(u32::MAX))
}

/// Returns the files that may hold a memory limit: those of the process's control group and of its ancestors, for both
/// versions of cgroups. Inside a container the group's path may be the host's path, while its files are at the mount's
/// root.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (mount, name) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        let inside = Path::new(path.trim_start_matches('/'));
        files.extend(inside.ancestors().map(|group| Path::new(mount).join(group).join(name)));
    }
    files
}

fn total_of_machine(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// What all descendants of this process use together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChildrenUsage {
    /// Resident memory now, in bytes. A page that several processes share is counted once for each of them.
    pub resident_bytes: u64,
    /// Processor time so far, including that of ended processes. A process that has just ended may be missing.
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

/// Samples the resident memory of a child. Dropping this value records the largest sample as a metric.
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

    /// Waits until a sample is due and takes it. The first sample is due at once. The pause between samples begins at
    /// 40 ms and doubles up to a second. Cancel-safe.
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

/// Returns the peak resident memory of a process plus that of each of its living descendants, in bytes.
fn peak_memory(pid: i32) -> u64 {
    let own = Process::new(pid).and_then(|process| process.stat()).ok();
    let tree = own.into_iter().chain(living_below(pid));
    tree.filter_map(|stat| status(&stat)?.vmhwm).sum::<u64>() * 1024
}

fn status(stat: &Stat) -> Option<Status> {
    Process::new(stat.pid).and_then(|process| process.status()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_groups_limit_is_looked_for_in_it_and_around_it() {
        let found = limit_files("0::/app/worker\n8:pids:/x\n4:memory:/docker/1\n");
        let found: Vec<&str> = found.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(
            found,
            [
                "/sys/fs/cgroup/app/worker/memory.max",
                "/sys/fs/cgroup/app/memory.max",
                "/sys/fs/cgroup/memory.max",
                "/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/docker/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            ]
        );
    }

    #[test]
    fn the_machine_has_some_memory() {
        assert_eq!(total_of_machine("MemFree: 1 kB\nMemTotal:       24 kB\n"), Some(24 * 1024));
        assert!(available_memory_mib().is_some_and(|mib| mib > 0));
    }
}
