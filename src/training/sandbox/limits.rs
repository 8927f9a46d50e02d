//! Sets limits that the kernel enforces on one process.

use crate::domain::contract::Limits;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};

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
