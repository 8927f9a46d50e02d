//! The child confines itself before it touches data.

use crate::contract::Limits;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};

/// Dies with the worker, writes no core dump, and gets at most the plan's memory and, per core, its time.
/// `worker` is the process that started this one: if it is gone already, there is nobody to die with.
pub fn confine(limits: &Limits, worker: i32) -> Result<(), String> {
    let fault = |what: &'static str| move |error: nix::Error| format!("{what}: {error}");
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(fault("cannot bind to the worker's life"))?;
    if getppid() != Pid::from_raw(worker) {
        return Err("the worker is gone".to_owned());
    }
    let limit = |resource, value: u64, what| setrlimit(resource, value, value).map_err(fault(what));
    let memory = u64::from(limits.memory_mib) * 1024 * 1024;
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    limit(Resource::RLIMIT_CORE, 0, "core dumps")?;
    limit(Resource::RLIMIT_AS, memory, "memory limit")?;
    limit(Resource::RLIMIT_CPU, u64::from(limits.wall_seconds) * cores, "processor limit")?;
    Ok(())
}
