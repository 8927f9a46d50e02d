//! How a child process is started.

use crate::training::protocol::ChildStep;
use std::path::{Path, PathBuf};
use std::process::Stdio;
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
