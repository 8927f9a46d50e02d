//! `model-factory completions`: prints completion scripts for shells.

use clap_complete::Shell;
use std::io::Write as _;
use std::process::ExitCode;

/// Print a completion script for a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  model-factory completions bash > ~/.local/share/bash-completion/completions/model-factory
  model-factory completions zsh > ~/.zfunc/_model-factory
  model-factory completions fish > ~/.config/fish/completions/model-factory.fish")]
pub(super) struct Args {
    /// Which shell.
    shell: Shell,
}

impl Args {
    pub(super) fn run(self, mut command_line: clap::Command) -> anyhow::Result<ExitCode> {
        // Written to memory first, because the generator panics if a pipe is closed.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command_line, "model-factory", &mut script);
        std::io::stdout().lock().write_all(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}
