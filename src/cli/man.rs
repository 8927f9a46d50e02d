//! `model-factory man`: prints the manual pages of the command line.

use anyhow::Context as _;
use clap_mangen::Man;
use std::path::PathBuf;
use std::process::ExitCode;

/// Print the manual page, or write one page per command into a folder.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  model-factory man | man -l -
  model-factory man ~/.local/share/man/man1")]
pub(super) struct Args {
    /// Folder for the pages of all commands. Created if it does not exist.
    folder: Option<PathBuf>,
}

impl Args {
    pub(super) fn run(self, command_line: clap::Command) -> anyhow::Result<ExitCode> {
        match self.folder {
            Some(folder) => {
                std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
                clap_mangen::generate_to(command_line, &folder)
                    .with_context(|| format!("cannot write to {}", folder.display()))?;
            }
            None => Man::new(command_line).render(&mut std::io::stdout().lock())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
