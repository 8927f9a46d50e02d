//! Starts a child process and ends its process group.

use crate::training::protocol::ChildStep;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// A step of a job that runs as a subcommand of a `model-factory` binary.
#[derive(Debug, Clone)]
pub struct TrainerCommand {
    /// The path of the binary. Its arguments are the step's subcommand, the job directory and the process id of the
    /// worker.
    pub program: PathBuf,
    pub(super) step: ChildStep,
}

impl TrainerCommand {
    /// Builds the command that runs [`ChildStep::Train`] with the binary of this process.
    pub fn this_binary() -> std::io::Result<Self> {
        Ok(Self::binary(std::env::current_exe()?))
    }

    /// Builds the command that runs [`ChildStep::Train`] with the binary at `program`.
    pub fn binary(program: PathBuf) -> Self {
        Self { program, step: ChildStep::Train }
    }

    /// Builds the command that runs another step with the same binary.
    #[must_use]
    pub fn to(&self, step: ChildStep) -> Self {
        Self { program: self.program.clone(), step }
    }

    /// Starts the child in a process group of its own, with an empty environment.
    pub(super) fn spawn(&self, job_dir: &Path) -> std::io::Result<Child> {
        Command::new(&self.program)
            .arg(self.step.subcommand())
            .arg(job_dir)
            .arg(std::process::id().to_string())
            .current_dir(job_dir)
            .env_clear()
            .envs([("LC_ALL", "C"), ("TZ", "UTC")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
    }
}

/// The time that a child has to end after SIGTERM. In this time the watcher of a registered command ends the command.
/// If the watcher were killed earlier, the command would go on running.
const GRACE: Duration = Duration::from_mins(1);

/// A child's process group. Dropping this value sends SIGTERM, so that a dropped future also ends its child.
pub(super) struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    pub(super) fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }

    pub(super) fn leader(&self) -> Option<Pid> {
        self.0
    }

    fn send(&self, signal: Signal) {
        if let Some(pid) = self.0 {
            // The group may have ended by itself. The error is then ignored.
            let _ = killpg(pid, signal);
        }
    }

    /// Sends SIGTERM to the group, waits up to [`GRACE`] for the child, and then sends SIGKILL.
    pub(super) async fn end(&mut self, child: &mut Child) -> std::io::Result<()> {
        self.send(Signal::SIGTERM);
        if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
            self.send(Signal::SIGKILL);
            child.wait().await?;
        }
        self.0 = None;
        Ok(())
    }

    /// Kills all processes that are left in the group after the child has ended.
    pub(super) fn kill(&mut self) {
        self.send(Signal::SIGKILL);
        self.0 = None;
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.send(Signal::SIGTERM);
    }
}
