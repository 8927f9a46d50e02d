//! What the child processes of this process take of the machine, with all that they start: for whoever watches.

use super::descendants::living_below;
use nix::sys::resource::{UsageWho, getrusage};
use procfs::process::{Process, Stat, Status};

/// What all children take together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Footprint {
    /// Resident memory now; a page that several processes share counts for each.
    pub resident_bytes: u64,
    /// Processor time so far, also of those that have ended. One that ended a moment ago may be missing.
    pub cpu_seconds: u64,
}

impl Footprint {
    /// Of all children of this process.
    pub fn of_children() -> Self {
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

/// The most resident memory that a process has had, with the most of all that now live below it.
pub(super) fn peak_memory(pid: i32) -> u64 {
    let own = Process::new(pid).and_then(|process| process.stat()).ok();
    let tree = own.into_iter().chain(living_below(pid));
    tree.filter_map(|stat| status(&stat)?.vmhwm).sum::<u64>() * 1024
}

fn status(stat: &Stat) -> Option<Status> {
    Process::new(stat.pid).and_then(|process| process.status()).ok()
}
