//! Runs `trainer-watch`, the process between the worker and a registered command. It starts the command, measures what
//! the command and all of its descendants use together, and ends them all.
//!
//! Guarantees: when the watcher returns, no process of the command lives. The watcher ends when the worker is gone. It
//! stays outside the command's sandbox, so that the command cannot signal it. Never: opens a file that the command
//! made.

use super::descendants::{Usage, end_all, folder_size, proportional_memory, reap, usage};
use super::groups::ControlGroups;
use super::held::HeldFiles;
use super::init::{self, InitReport};
use super::limits::{MIB, THREADS_PER_PROCESS};
use super::namespaces::separate_processes;
use crate::domain::contract::Limits;
use crate::domain::run::{Failure, FailureCode};
use crate::training::protocol::{CommandSpec, JobEnd, Layer, digest_of, file_failure};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::WaitStatus;
use nix::unistd::{Pid, getppid};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::{fs, io};

/// Milliseconds between two checks of the command's usage.
const CHECK_EVERY_MS: u16 = 50;
/// The number of usage checks for each measurement of the work folder's size, which takes longer.
const CHECKS_PER_FOLDER: u32 = 6;

/// Runs the command of this job directory and writes `result.json`. The exit status says whether `result.json` was
/// written.
pub fn watch_command(job_dir: &Path, worker: i32) -> ExitCode {
    JobEnd::write(run_command(job_dir, worker), job_dir)
}

fn run_command(job_dir: &Path, worker: i32) -> Result<(), Failure> {
    let spec = CommandSpec::read(job_dir).map_err(|error| file_failure("no order", &error))?;
    check_pins(&spec)?;
    // Here the watcher only prepares itself, and starts its own binary. No command has run yet.
    let unable = |error: Errno| Failure::of_worker(format!("the command cannot be watched: {error}"));
    prctl::set_child_subreaper(true).map_err(unable)?;
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGCHLD);
    signals.thread_block().map_err(unable)?;
    let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).map_err(unable)?;
    close_inherited(&signals);
    let tasks = u64::from(spec.limits.processes) * THREADS_PER_PROCESS;
    let groups = if spec.has(Layer::Groups) {
        ControlGroups::create(tasks, spec.limits.memory_mib)
    } else {
        ControlGroups::default()
    };
    let not_started = |error| Failure::of_worker(format!("the command cannot be started: {error}"));
    let (main, init) = start(&spec, job_dir, groups.folders()).map_err(not_started)?;
    let work = CommandSpec::work(job_dir);
    let watched = WatchedCommand {
        main,
        init: init.as_ref().map(|_| main),
        worker: Pid::from_raw(worker),
        initial_size: folder_size(&work, u64::MAX),
        work,
    };
    let ended = watched.wait(&spec.limits, &signals);
    let killed = end_all(main);
    let status = ended?.or(killed);
    let status = init.map_or(status, |mut report| status.map(|status| report.translate(status)));
    judge(status, &spec.limits)
        .map_err(|failure| if groups.ran_out_of_memory() { over_memory(&spec.limits) } else { failure })?;
    // The command may have written to its folder after the last check.
    watched.check_disk(&spec.limits, 0)
}

fn failed(message: String) -> Failure {
    Failure::new(FailureCode::TrainerFailed, message)
}

fn over_memory(limits: &Limits) -> Failure {
    let message = format!("the command's processes held more than {} MiB of memory", limits.memory_mib);
    Failure::new(FailureCode::TrainerOutOfMemory, message)
}

/// Checks that the program and the scripts have the digests that the plan pins.
fn check_pins(spec: &CommandSpec) -> Result<(), Failure> {
    let pinned = &spec.pinned;
    let program = spec.registration.program.to_string_lossy().into_owned();
    for (path, expected) in pinned.files.iter().chain([(&program, &pinned.program_sha256)]) {
        let found = digest_of(Path::new(path)).map_err(|error| file_failure(path, &error))?;
        if found != *expected {
            return Err(failed(format!("{path} has changed since the plan was made: digest {found}, not {expected}")));
        }
    }
    Ok(())
}

/// Closes file descriptors that a library of the worker left open across exec.
fn close_inherited(keep: &SignalFd) {
    use std::os::fd::AsRawFd as _;
    let open = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let open: Vec<i32> = open.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|fd| *fd > 2 && *fd != keep.as_fd().as_raw_fd()) {
        // One descriptor listed the folder and is already closed. The error of closing it again is ignored.
        let _ = nix::unistd::close(descriptor);
    }
}

/// Starts the command behind `trainer-init` if it gets process ids of its own, and returns its report as well; else
/// `trainer-exec`, which becomes the command.
fn start(spec: &CommandSpec, job_dir: &Path, groups: &[PathBuf]) -> io::Result<(Pid, Option<InitReport>)> {
    if !(spec.has(Layer::Namespaces) && separate_processes()?) {
        return Ok((init::start("trainer-exec", job_dir, groups, Stdio::null())?, None));
    }
    let (report, stdin) = InitReport::pair()?;
    Ok((init::start("trainer-init", job_dir, groups, stdin)?, Some(report)))
}

struct WatchedCommand {
    main: Pid,
    /// Process 1 of the command's own process ids. It is ours, and does not count. `None` if the command has none.
    init: Option<Pid>,
    worker: Pid,
    work: PathBuf,
    /// The size of the work folder in bytes before the command began.
    initial_size: u64,
}

impl WatchedCommand {
    /// Waits until the command ends, and returns how it ended. Returns a failure if the command exceeds a limit, or if
    /// the worker stops the command or has ended.
    fn wait(&self, limits: &Limits, signals: &SignalFd) -> Result<Option<WaitStatus>, Failure> {
        for check in 0_u32.. {
            let mut events = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut events, PollTimeout::from(CHECK_EVERY_MS));
            while let Ok(Some(signal)) = signals.read_signal() {
                if signal.ssi_signo == Signal::SIGTERM as u32 {
                    return Err(failed("the command was told to stop".to_owned()));
                }
            }
            if getppid() != self.worker {
                return Err(failed("the worker is gone".to_owned()));
            }
            if let Some(status) = reap(self.main) {
                return Ok(Some(status));
            }
            self.check_usage(limits, check % CHECKS_PER_FOLDER == 0)?;
        }
        Ok(None)
    }

    /// Measures everything that is limited. What takes long to measure is measured if `thoroughly`, or if a limit seems
    /// to be reached.
    fn check_usage(&self, limits: &Limits, thoroughly: bool) -> Result<(), Failure> {
        let used = usage(self.init);
        check_processes(used, limits)?;
        let mut held = HeldFiles::open(self.init, &self.work);
        let memory = u64::from(limits.memory_mib) * MIB;
        if thoroughly || used.anonymous + held.memory().max(used.shared) > memory {
            held.add_mapped(self.init, &self.work);
            if used.anonymous + held.memory().max(used.shared) > memory {
                let (anonymous, shared) = proportional_memory(self.init);
                if anonymous + held.memory().max(shared) > memory {
                    return Err(over_memory(limits));
                }
            }
        }
        if thoroughly { self.check_disk(limits, held.disk()) } else { Ok(()) }
    }

    /// Checks the size of the work folder and `held`, the bytes of files that are in use and in no folder.
    fn check_disk(&self, limits: &Limits, held: u64) -> Result<(), Failure> {
        let allowed = self.initial_size + u64::from(limits.file_mib) * MIB;
        if folder_size(&self.work, allowed) + held > allowed {
            let message = format!("the command wrote more than {} MiB into its folder", limits.file_mib);
            let message =
                if held > 0 { format!("{message}, with files that it has removed and uses") } else { message };
            return Err(failed(message));
        }
        Ok(())
    }
}

fn check_processes(used: Usage, limits: &Limits) -> Result<(), Failure> {
    let processes = u64::from(limits.processes);
    if used.processes > processes {
        return Err(failed(format!("the command had {} processes at a time, {processes} are allowed", used.processes)));
    }
    if used.threads > processes * THREADS_PER_PROCESS {
        let allowed = processes * THREADS_PER_PROCESS;
        return Err(failed(format!("the command had {} threads at a time, {allowed} are allowed", used.threads)));
    }
    if used.cpu_seconds > u64::from(limits.cpu_seconds) {
        let message = format!("the command used up its {} seconds of processor time", limits.cpu_seconds);
        return Err(Failure::new(FailureCode::TrainerTimeout, message));
    }
    Ok(())
}

/// Decides from the command's exit status or signal whether the step failed, and with which code.
fn judge(status: Option<WaitStatus>, limits: &Limits) -> Result<(), Failure> {
    match status {
        Some(WaitStatus::Exited(_, 0)) => Ok(()),
        Some(WaitStatus::Exited(_, code)) => Err(failed(format!("the command ended with exit status {code}"))),
        Some(WaitStatus::Signaled(_, Signal::SIGXFSZ, _)) => {
            Err(failed(format!("the command wrote a file of more than {} MiB", limits.file_mib)))
        }
        Some(WaitStatus::Signaled(_, Signal::SIGXCPU, _)) => {
            let message = format!("the command used up its {} seconds of processor time", limits.cpu_seconds);
            Err(Failure::new(FailureCode::TrainerTimeout, message))
        }
        // The watcher did not send this SIGKILL. Most likely the kernel did, because memory ran out.
        Some(WaitStatus::Signaled(_, Signal::SIGKILL, _)) => {
            let message = "the command was killed from outside, as by the kernel for memory".to_owned();
            Err(Failure::new(FailureCode::TrainerOutOfMemory, message))
        }
        Some(WaitStatus::Signaled(_, signal, _)) => Err(failed(format!("the command died of {signal}"))),
        Some(_) | None => Err(failed("the command's end was not seen".to_owned())),
    }
}
