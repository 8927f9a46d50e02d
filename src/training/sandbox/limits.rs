//! Sets limits that the kernel enforces: rlimits on one process, and a control group's limit on a command's processes
//! and threads.

use crate::domain::contract::Limits;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};
use std::path::{Path, PathBuf};
use std::{fs, io};

pub(super) const MIB: u64 = 1024 * 1024;
/// Seconds between the kernel's SIGXCPU and its SIGKILL.
pub(super) const GRACE_SECONDS: u64 = 5;
/// The most file descriptors that one process of a job may have open. Our own child opens one data file after the other.
pub(super) const OPEN_FILES: u64 = 4_096;
/// The threads that a command may have for each process that the profile allows.
pub(super) const THREADS_PER_PROCESS: u64 = 32;

/// Limits this child of the worker: it ends with the worker, writes no core dump, and gets at most the plan's memory
/// and processor time, and `OPEN_FILES` descriptors. The size of files needs no limit, since rows and rounds are
/// bounded. Returns an error if `worker`, which started this process, has already ended, since the signal of its end
/// would never come.
pub fn limit_this_process(limits: &Limits, worker: i32) -> Result<(), String> {
    die_with_parent()?;
    if getppid() != Pid::from_raw(worker) {
        return Err("the worker is gone".to_owned());
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let processor = u64::from(limits.cpu_seconds).min(u64::from(limits.wall_seconds) * cores);
    limit(Resource::RLIMIT_AS, u64::from(limits.memory_mib) * MIB)?;
    limit_processor(processor)?;
    limit(Resource::RLIMIT_NOFILE, OPEN_FILES)?;
    limit(Resource::RLIMIT_CORE, 0)
}

/// Asks the kernel to kill this process when its parent ends.
pub(super) fn die_with_parent() -> Result<(), String> {
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(|error| format!("cannot bind to the parent's life: {error}"))
}

/// Sets the soft and the hard limit to `value`, or to the current hard limit if that is lower.
pub(super) fn limit(resource: Resource, value: u64) -> Result<(), String> {
    let error = |error| format!("{resource:?}: {error}");
    let (_, hard_limit) = getrlimit(resource).map_err(error)?;
    let value = value.min(hard_limit);
    setrlimit(resource, value, value).map_err(error)
}

/// Limits processor time. The kernel sends SIGXCPU at the limit and SIGKILL after [`GRACE_SECONDS`]. With equal limits
/// the kernel would only send SIGKILL, which does not tell the cause.
pub(super) fn limit_processor(seconds: u64) -> Result<(), String> {
    setrlimit(Resource::RLIMIT_CPU, seconds, seconds + GRACE_SECONDS)
        .map_err(|error| format!("{:?}: {error}", Resource::RLIMIT_CPU))
}

/// The control group (cgroup) of one command. Dropping this value removes the group if no process is left in it.
pub(super) struct PidsGroup(PathBuf);

impl PidsGroup {
    /// Creates a control group of at most `tasks` processes and threads. `None` if that fails, which is usual without
    /// root.
    pub(super) fn create(tasks: u64) -> Option<Self> {
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        let folder = parent(&groups)?.join(format!("model-factory-{}", std::process::id()));
        // An earlier process with this process id may have left a group.
        let _ = fs::remove_dir(&folder);
        fs::create_dir(&folder).ok()?;
        let group = Self(folder);
        fs::write(group.0.join("pids.max"), tasks.to_string()).ok()?;
        Some(group)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Moves this process into a group. Processes that it starts later inherit the group.
    pub(super) fn join(group: &Path) -> io::Result<()> {
        // 0 is the writer. Its process id may be another one in its own process ids.
        fs::write(group.join("cgroup.procs"), "0")
    }
}

impl Drop for PidsGroup {
    fn drop(&mut self) {
        // A group that cannot be removed does no harm.
        let _ = fs::remove_dir(&self.0);
    }
}

/// Returns the folder of this process's control group in the hierarchy that counts processes; `None` if it is in none.
/// Prefers version 1 of cgroups to version 2.
fn parent(groups: &str) -> Option<PathBuf> {
    let of = |wanted: &str, mount: &str| {
        groups.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            let found = controllers.split(',').any(|controller| controller == wanted);
            found.then(|| Path::new(mount).join(path.trim_start_matches('/')))
        })
    };
    of("pids", "/sys/fs/cgroup/pids").or_else(|| of("", "/sys/fs/cgroup"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_that_counts_processes_is_found_in_both_versions() {
        assert_eq!(parent("9:cpu,pids:/a/b\n0::/c\n"), Some("/sys/fs/cgroup/pids/a/b".into()));
        assert_eq!(parent("0::/c\n"), Some("/sys/fs/cgroup/c".into()));
        assert_eq!(parent(""), None);
    }
}
