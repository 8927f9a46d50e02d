//! How a child process is started, and how its process group is ended.

use crate::training::protocol::ChildStep;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// A step of a job, as a subcommand of a `model-factory` binary.
#[derive(Debug, Clone)]
pub struct TrainerCommand {
    /// A `model-factory` binary. It gets the name of the step, the job directory and this process's id.
    pub program: PathBuf,
    pub(super) step: ChildStep,
}

impl TrainerCommand {
    /// The binary that runs now, for [`ChildStep::Train`].
    pub fn this_binary() -> std::io::Result<Self> {
        Ok(Self::binary(std::env::current_exe()?))
    }

    /// This binary, for [`ChildStep::Train`].
    pub fn binary(program: PathBuf) -> Self {
        Self { program, step: ChildStep::Train }
    }

    /// The same binary for another step.
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

/// How long a child may take to end after SIGTERM. The watcher of a registered command ends the command first; a
/// watcher that is killed before would leave the command running.
const GRACE: Duration = Duration::from_mins(1);

/// Sends SIGTERM when it is dropped, so that a future that is dropped ends its child, too.
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
            // A group that has ended by itself is no error.
            let _ = killpg(pid, signal);
        }
    }

    /// Sends SIGTERM, waits for [`GRACE`], and sends SIGKILL.
    pub(super) async fn end(&mut self, child: &mut Child) -> std::io::Result<()> {
        self.send(Signal::SIGTERM);
        if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
            self.send(Signal::SIGKILL);
            child.wait().await?;
        }
        self.0 = None;
        Ok(())
    }

    /// Kills what a child that has ended left behind in its group.
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
