//! Runs `trainer-init`, process 1 of a command's own process ids. It separates itself from the host, starts
//! `trainer-exec`, and ends when that ends; the kernel then ends whatever is left of the command.
//!
//! Process 1 stays outside of the command's sandbox, so that the command can neither signal nor read it.

use super::limits::die_with_parent;
use super::namespaces::separate_rest;
use crate::training::protocol::CommandSpec;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// Runs as process 1. Its standard input is a socket on which it reports to the watcher which signal ended the command:
/// the kernel lets no signal end process 1 the same way. Ends with the command's exit status.
#[expect(clippy::print_stderr, reason = "the watcher reads why on standard error")]
pub fn init_command(job_dir: &Path, groups: &[PathBuf]) -> ExitCode {
    match run(job_dir, groups) {
        Ok(status) => ExitCode::from(status),
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn run(job_dir: &Path, groups: &[PathBuf]) -> Result<u8, String> {
    die_with_parent()?;
    let spec = CommandSpec::read(job_dir).map_err(|error| format!("no order: {error}"))?;
    let report = io::stdin().as_fd().try_clone_to_owned().map_err(|error| format!("no report: {error}"))?;
    separate_rest(&spec.registration, spec.limits.memory_mib);
    let main = start("trainer-exec", job_dir, groups, Stdio::null()).map_err(|error| format!("no command: {error}"))?;
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, status)) if pid == main => return Ok(status as u8),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == main => {
                let sent = UnixStream::from(report).write_all(&[signal as u8]);
                return sent.map(|()| 1).map_err(|error| format!("no report of {signal}: {error}"));
            }
            // An orphan of the command, which process 1 adopts.
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(format!("the command is lost: {error}")),
        }
    }
}

/// Starts this binary again as one of the steps from the watcher to the command.
pub(super) fn start(step: &str, job_dir: &Path, groups: &[PathBuf], stdin: Stdio) -> io::Result<Pid> {
    let child =
        Command::new(std::env::current_exe()?).arg(step).arg(job_dir).args(groups).env_clear().stdin(stdin).spawn()?;
    Ok(Pid::from_raw(child.id() as i32))
}

/// The watcher's end of the socket on which process 1 reports.
pub(super) struct InitReport(UnixStream);

impl InitReport {
    /// Returns both ends: the watcher's, and the standard input of process 1.
    pub(super) fn pair() -> io::Result<(Self, Stdio)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        Ok((Self(ours), OwnedFd::from(theirs).into()))
    }

    /// Returns how the command ended, given how process 1 ended.
    pub(super) fn translate(&mut self, status: WaitStatus) -> WaitStatus {
        let mut signal = [0];
        match status {
            WaitStatus::Exited(pid, _) if matches!(self.0.read(&mut signal), Ok(1)) => {
                let signal = Signal::try_from(i32::from(signal[0])).unwrap_or(Signal::SIGKILL);
                WaitStatus::Signaled(pid, signal, false)
            }
            status => status,
        }
    }
}
