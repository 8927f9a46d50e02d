//! Limits that the kernel enforces on one process.

use crate::domain::contract::Limits;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};

pub(super) const MIB: u64 = 1024 * 1024;
/// Seconds between SIGXCPU and SIGKILL.
pub(super) const GRACE_SECONDS: u64 = 5;
/// Threads for each process that the profile allows.
pub(super) const THREADS_PER_PROCESS: u64 = 32;

/// Limits a child of ours: it dies with the worker, writes no core dump, and gets at most the plan's memory and processor
/// time. Files need no limit: their size follows from rows and rounds, which are bounded. `worker` is the process that
/// started this one; where that is gone already, the signal of its death would never come, and this is an error.
pub fn limit_this_process(limits: &Limits, worker: i32) -> Result<(), String> {
    die_with_parent()?;
    if getppid() != Pid::from_raw(worker) {
        return Err("the worker is gone".to_owned());
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let processor = u64::from(limits.cpu_seconds).min(u64::from(limits.wall_seconds) * cores);
    limit(Resource::RLIMIT_AS, u64::from(limits.memory_mib) * MIB)?;
    limit_processor(processor)?;
    limit(Resource::RLIMIT_CORE, 0)
}

/// The kernel kills this process when its parent ends.
pub(super) fn die_with_parent() -> Result<(), String> {
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(|error| format!("cannot bind to the parent's life: {error}"))
}

/// Sets soft and hard limit to `value`, or to this process's own hard limit where that is less.
pub(super) fn limit(resource: Resource, value: u64) -> Result<(), String> {
    let error = |error| format!("{resource:?}: {error}");
    let (_, hard_limit) = getrlimit(resource).map_err(error)?;
    let value = value.min(hard_limit);
    setrlimit(resource, value, value).map_err(error)
}

/// The kernel sends SIGXCPU at the limit and SIGKILL after [`GRACE_SECONDS`]; with equal limits it would only kill, and
/// nobody would know why.
pub(super) fn limit_processor(seconds: u64) -> Result<(), String> {
    setrlimit(Resource::RLIMIT_CPU, seconds, seconds + GRACE_SECONDS)
        .map_err(|error| format!("{:?}: {error}", Resource::RLIMIT_CPU))
}
