//! Runs `trainer-exec`, a process that confines itself and then becomes the registered command by `exec`.

use super::descendants::tasks_of_this_user;
use super::groups::ControlGroups;
use super::landlock::restrict_files;
use super::limits::{GRACE_SECONDS, MIB, OPEN_FILES, THREADS_PER_PROCESS, die_with_parent, limit, limit_processor};
use super::namespaces::drop_privileges;
use super::seccomp::{filters_calls, restrict_calls};
use crate::training::protocol::{CommandSpec, Layer};
use nix::sys::resource::Resource;
use nix::unistd::setsid;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The nice value that gives the command a lower priority than the watcher. The watcher then runs when both want the
/// processor.
const NICE: i32 = 5;

/// Becomes the registered command of this job directory, in these control groups. Returns only if that was not possible.
#[expect(clippy::print_stderr, reason = "the watcher reads why on standard error")]
pub fn exec_command(job_dir: &Path, groups: &[PathBuf]) -> ExitCode {
    let Err(reason) = become_command(job_dir, groups);
    eprintln!("{reason}");
    ExitCode::FAILURE
}

fn become_command(job_dir: &Path, groups: &[PathBuf]) -> Result<std::convert::Infallible, String> {
    die_with_parent()?;
    setsid().map_err(|error| format!("no session: {error}"))?;
    rustix::process::nice(NICE).map_err(|error| format!("nice: {error}"))?;
    for group in groups {
        ControlGroups::join(group).map_err(|error| format!("{}: {error}", group.display()))?;
    }
    let spec = CommandSpec::read(job_dir).map_err(|error| format!("no order: {error}"))?;
    let (limits, registration) = (&spec.limits, &spec.registration);
    // This limits data, not address space, since many runtimes reserve address space that they never use.
    limit(Resource::RLIMIT_DATA, u64::from(limits.memory_mib) * MIB)?;
    // The watcher limits the processor time of the whole command. This limit ends a process whose watcher is gone.
    limit_processor(u64::from(limits.cpu_seconds) + GRACE_SECONDS)?;
    limit(Resource::RLIMIT_FSIZE, u64::from(limits.file_mib) * MIB)?;
    limit(Resource::RLIMIT_NOFILE, OPEN_FILES)?;
    limit(Resource::RLIMIT_CORE, 0)?;
    // The kernel counts all tasks of this user, but does not limit root. So this limit stops a fork bomb, not a small
    // excess.
    limit(Resource::RLIMIT_NPROC, tasks_of_this_user() + u64::from(limits.processes) * THREADS_PER_PROCESS)?;
    // If the machine's memory runs out, the kernel kills this process first, and not the watcher.
    std::fs::write("/proc/self/oom_score_adj", "1000").map_err(|error| format!("oom_score_adj: {error}"))?;
    let work = CommandSpec::work(job_dir);
    let home = work.join("home");
    std::fs::create_dir_all(&home).map_err(|error| format!("no home folder: {error}"))?;
    let unconfined = |error: &dyn std::fmt::Display| format!("the command cannot be confined: {error}");
    if spec.has(Layer::Capabilities) {
        drop_privileges().map_err(|error| unconfined(&error))?;
    }
    if spec.has(Layer::Landlock) {
        restrict_files(registration, &work).map_err(|error| unconfined(&error))?;
    }
    if spec.has(Layer::Seccomp) && filters_calls() {
        restrict_calls(registration).map_err(|error| unconfined(&error))?;
    }
    let error = Command::new(&registration.program)
        .args(&registration.arguments)
        .current_dir(&work)
        .env_clear()
        .envs([("LC_ALL", "C"), ("TZ", "UTC"), ("PATH", &registration.path)])
        .envs([("HOME", &home), ("TMPDIR", &home)])
        .exec();
    Err(format!("{} cannot be started: {error}", registration.program.display()))
}
