//! A process confines itself before it touches data, or before it becomes somebody else's command.

use super::descendants::tasks_of_this_user;
use super::order::CommandOrder;
use super::pids::PidsGroup;
use super::sandbox;
use super::watch::THREADS_PER_PROCESS;
use crate::domain::contract::Limits;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid, setsid};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

/// Dies with the worker, writes no core dump, and gets at most the plan's memory and processor time. What it
/// writes follows from rows and rounds, which are bounded. `worker` is the process that started this one: if it is
/// gone already, there is nobody to die with.
pub fn confine(limits: &Limits, worker: i32) -> Result<(), String> {
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

/// Becomes the trainer command of this job directory, in this control group where there is one. Returns only
/// where that was not possible.
pub fn exec(job_dir: &Path, group: Option<&Path>) -> ExitCode {
    let reason = match become_command(job_dir, group) {
        Ok(never) => match never {},
        Err(reason) => reason,
    };
    complain(&reason);
    ExitCode::FAILURE
}

#[expect(clippy::print_stderr, reason = "standard error is all that this process has to say why")]
fn complain(reason: &str) {
    eprintln!("{reason}");
}

const MIB: u64 = 1024 * 1024;
const NICE: i32 = 5;
/// Descriptors of one process.
const OPEN_FILES: u64 = 4_096;
/// Between the first word about processor time and the last.
const GRACE_SECONDS: u64 = 5;

fn become_command(job_dir: &Path, group: Option<&Path>) -> Result<std::convert::Infallible, String> {
    die_with_parent()?;
    // A session of its own, and behind the process that watches it when both want the processor.
    setsid().map_err(|error| format!("no session: {error}"))?;
    rustix::process::nice(NICE).map_err(|error| format!("nice: {error}"))?;
    if let Some(group) = group {
        PidsGroup::join(group).map_err(|error| format!("{}: {error}", group.display()))?;
    }
    let order = std::fs::read(job_dir.join(CommandOrder::FILE)).map_err(|error| format!("no order: {error}"))?;
    let order: CommandOrder = serde_json::from_slice(&order).map_err(|error| format!("no order: {error}"))?;
    let (limits, registration) = (&order.limits, &order.registration);
    // Of what it holds, not of what it has merely set aside: many runtimes reserve address space that they
    // never touch.
    limit(Resource::RLIMIT_DATA, u64::from(limits.memory_mib) * MIB)?;
    // The whole command's time is watched from outside; this ends a process that nobody watches any more.
    limit_processor(u64::from(limits.cpu_seconds) + GRACE_SECONDS)?;
    limit(Resource::RLIMIT_FSIZE, u64::from(limits.file_mib) * MIB)?;
    limit(Resource::RLIMIT_NOFILE, OPEN_FILES)?;
    limit(Resource::RLIMIT_CORE, 0)?;
    // Counts all of a user's tasks, and root's not at all: a bound on a storm, not on this command.
    limit(Resource::RLIMIT_NPROC, tasks_of_this_user() + u64::from(limits.processes) * THREADS_PER_PROCESS)?;
    // Where the machine's memory runs out, the kernel should end this one, not who watches it.
    std::fs::write("/proc/self/oom_score_adj", "1000").map_err(|error| format!("oom_score_adj: {error}"))?;
    let work = CommandOrder::work(job_dir);
    let home = work.join("home");
    std::fs::create_dir_all(&home).map_err(|error| format!("no home folder: {error}"))?;
    sandbox::enter(registration, &work).map_err(|error| format!("the command cannot be confined: {error}"))?;
    let error = Command::new(&registration.program)
        .args(&registration.arguments)
        .current_dir(&work)
        .env_clear()
        .envs([("LC_ALL", "C"), ("TZ", "UTC"), ("PATH", &registration.path)])
        .envs([("HOME", &home), ("TMPDIR", &home)])
        .exec();
    Err(format!("{} cannot be started: {error}", registration.program.display()))
}

fn die_with_parent() -> Result<(), String> {
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(|error| format!("cannot bind to the parent's life: {error}"))
}

/// Never above what this process was given itself.
fn limit(resource: Resource, value: u64) -> Result<(), String> {
    let error = |error| format!("{resource:?}: {error}");
    let (_, given) = getrlimit(resource).map_err(error)?;
    let value = value.min(given);
    setrlimit(resource, value, value).map_err(error)
}

/// First a signal that says why, then the end: with one limit for both the kernel would only kill.
fn limit_processor(seconds: u64) -> Result<(), String> {
    setrlimit(Resource::RLIMIT_CPU, seconds, seconds + GRACE_SECONDS)
        .map_err(|error| format!("{:?}: {error}", Resource::RLIMIT_CPU))
}
