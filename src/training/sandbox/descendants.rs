//! Lists and ends all descendants of this process, and measures their processor time, memory and disk space.
//!
//! The watcher adopts the orphans among its descendants (`PR_SET_CHILD_SUBREAPER`). A daemon that forks twice or leaves
//! its process group and session is thus still a descendant.

use nix::errno::Errno;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use procfs::process::{Process, Stat, all_processes};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// The sum of what all descendants of the watcher use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Usage {
    pub(super) processes: u64,
    pub(super) threads: u64,
    /// Seconds of processor time, including that of ended processes.
    pub(super) cpu_seconds: u64,
    /// Bytes of anonymous memory. A page that several processes share is counted once for each of them.
    pub(super) anonymous: u64,
    /// Bytes of shared memory and of files in memory that processes have touched, counted in the same way.
    pub(super) shared: u64,
}

fn living() -> Vec<Stat> {
    living_below(std::process::id() as i32)
}

/// Lists the living descendants of a process, without zombies.
pub fn living_below(root: i32) -> Vec<Stat> {
    let mut by_parent: BTreeMap<i32, Vec<Stat>> = BTreeMap::new();
    // A process may end while it is read. That is no error.
    for stat in all_processes().into_iter().flatten().flatten().filter_map(|process| process.stat().ok()) {
        by_parent.entry(stat.ppid).or_default().push(stat);
    }
    let mut found = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for stat in by_parent.remove(&parent).unwrap_or_default() {
            parents.push(stat.pid);
            if !matches!(stat.state, 'Z' | 'X') {
                found.push(stat);
            }
        }
    }
    found
}

/// Returns the living descendants of this process that belong to the command. `init` is ours.
pub(super) fn of_command(init: Option<Pid>) -> Vec<Stat> {
    living().into_iter().filter(|stat| init.is_none_or(|init| init.as_raw() != stat.pid)).collect()
}

/// Measures what the command uses, without `init`.
pub(super) fn usage(init: Option<Pid>) -> Usage {
    let ticks_per_second = procfs::ticks_per_second().max(1);
    let ended = getrusage(UsageWho::RUSAGE_CHILDREN)
        .map_or(0, |usage| usage.user_time().tv_sec() + usage.system_time().tv_sec());
    let mut total = Usage { cpu_seconds: ended as u64, ..Usage::default() };
    let mut ticks = 0;
    for stat in of_command(init) {
        total.processes += 1;
        total.threads += stat.num_threads.max(1) as u64;
        ticks += stat.utime + stat.stime + (stat.cutime + stat.cstime).max(0) as u64;
        if let Ok(status) = Process::new(stat.pid).and_then(|process| process.status()) {
            total.anonymous += status.rssanon.unwrap_or(0) * 1024;
            total.shared += status.rssshmem.unwrap_or(0) * 1024;
        }
    }
    total.cpu_seconds += ticks / ticks_per_second;
    total
}

/// Measures the same as [`Usage::anonymous`] and [`Usage::shared`], but counts a page that several processes share once.
/// The kernel needs much more time for this.
pub(super) fn proportional_memory(init: Option<Pid>) -> (u64, u64) {
    let mut total = (0, 0);
    for stat in of_command(init) {
        let Ok(maps) = Process::new(stat.pid).and_then(|process| process.smaps_rollup()) else { continue };
        let Some(rollup) = maps.memory_map_rollup.0.first() else { continue };
        let size = |name: &str| rollup.extension.map.get(name).copied().unwrap_or(0);
        total.0 += size("Pss_Anon");
        total.1 += size("Pss_Shmem");
    }
    total
}

/// Counts the threads of all processes of this process's user, including those that another program started.
pub(super) fn tasks_of_this_user() -> u64 {
    let user = nix::unistd::getuid().as_raw();
    let processes = all_processes().into_iter().flatten().flatten();
    let ours = processes.filter(|process| process.uid().is_ok_and(|owner| owner == user));
    ours.filter_map(|process| process.stat().ok()).map(|stat| stat.num_threads.max(1) as u64).sum()
}

/// Reaps all zombies. Returns how `main` ended if `main` was one of them.
pub(super) fn reap(main: Pid) -> Option<WaitStatus> {
    let mut ended = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => return ended,
            Ok(status @ (WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..))) if pid == main => {
                ended = Some(status);
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return ended,
        }
    }
}

/// Ends every descendant. First stops them all, so that none can start another, then kills them. Returns how `main`
/// ended, once no descendant lives.
pub(super) fn end_all(main: Pid) -> Option<WaitStatus> {
    let mut stopped = BTreeSet::new();
    loop {
        let new: Vec<i32> = living().iter().map(|stat| stat.pid).filter(|pid| !stopped.contains(pid)).collect();
        if new.is_empty() {
            break;
        }
        send(&new, Signal::SIGSTOP);
        stopped.extend(new);
    }
    let mut ended = None;
    loop {
        let left: Vec<i32> = living().iter().map(|stat| stat.pid).collect();
        send(&left, Signal::SIGKILL);
        ended = reap(main).or(ended);
        if left.is_empty() {
            return ended;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn send(pids: &[i32], signal: Signal) {
    for pid in pids {
        // The process may have ended by now. The error is then ignored.
        let _ = kill(Pid::from_raw(*pid), signal);
    }
}

/// Returns the bytes that a folder takes on disk. Each entry counts as at least one block. Returns early once the sum
/// exceeds `enough`. Follows no links.
pub(super) fn folder_size(folder: &Path, enough: u64) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    const BLOCK: u64 = 4_096;
    let mut total = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            total += (metadata.blocks() * 512).max(BLOCK);
            if metadata.is_dir() {
                folders.push(entry.path());
            }
            if total > enough {
                return total;
            }
        }
    }
    total
}
