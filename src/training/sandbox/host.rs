//! Finds out which layers of the sandbox this host has. Namespaces are tried in children of this process, since a
//! process with threads cannot try them itself.

use super::groups::ControlGroups;
use super::landlock::version;
use super::namespaces::{Separated, separate_processes, separate_rest};
use super::seccomp::filters_calls;
use crate::training::protocol::TrainerRegistration;
use nix::sys::wait::waitpid;
use std::io;
use std::process::{Command, ExitCode, Stdio};

/// What the kernel and this process's rights offer for a registered command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostLayers {
    /// The version of Landlock's interface that is used, 0 if the kernel has none.
    pub landlock: u8,
    pub seccomp: bool,
    /// `None` if a command gets no process ids of its own.
    pub namespaces: Option<Separated>,
    /// Whether the kernel counts a command's memory in a control group.
    pub memory_group: bool,
}

impl HostLayers {
    /// Finds out. Starts this binary twice.
    pub fn find() -> Self {
        Self {
            landlock: version(),
            seccomp: filters_calls(),
            namespaces: try_namespaces().ok().flatten(),
            memory_group: ControlGroups::create(1, 1).count_memory(),
        }
    }
}

fn try_namespaces() -> io::Result<Option<Separated>> {
    let tried = Command::new(std::env::current_exe()?).args(["trainer-host", "separate"]).env_clear().output()?;
    Ok(serde_json::from_slice(&tried.stdout).ok())
}

/// Runs `trainer-host`. The step `separate` tries to begin new process ids, and starts the step `rest` in them, which
/// prints what it got.
#[expect(clippy::print_stdout, reason = "doctor reads it")]
pub fn try_host(step: &str) -> ExitCode {
    if step == "rest" {
        let registration = TrainerRegistration::of_program("/bin/true".into());
        println!("{}", serde_json::json!(separate_rest(&registration, 1)));
        return ExitCode::SUCCESS;
    }
    let started = separate_processes().and_then(|separated| {
        let program = std::env::current_exe()?;
        let begun =
            separated.then(|| Command::new(program).args(["trainer-host", "rest"]).stdin(Stdio::null()).spawn());
        begun.transpose()
    });
    match started {
        Ok(Some(child)) if waitpid(nix::unistd::Pid::from_raw(child.id() as i32), None).is_ok() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
