//! `model-factory completions` and `model-factory man`: the command line described for shells and readers.

use super::Cli;
use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Print a completion script for a shell.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  model-factory completions bash > ~/.local/share/bash-completion/completions/model-factory
  model-factory completions zsh > ~/.zfunc/_model-factory
  model-factory completions fish > ~/.config/fish/completions/model-factory.fish")]
pub(super) struct CompletionsArgs {
    /// Which shell.
    shell: Shell,
}

impl CompletionsArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "model-factory", &mut script);
        std::io::stdout().lock().write_all(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Print the manual page, or write a page for each command into a folder.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  model-factory man | man -l -
  model-factory man ~/.local/share/man/man1")]
pub(super) struct ManArgs {
    /// Folder for the pages of all commands; made where it does not exist.
    folder: Option<PathBuf>,
}

impl ManArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self.folder {
            Some(folder) => {
                std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
                clap_mangen::generate_to(Cli::command(), &folder)
                    .with_context(|| format!("cannot write to {}", folder.display()))?;
            }
            None => Man::new(Cli::command()).render(&mut std::io::stdout().lock())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Command, ValueEnum as _};

    /// Every command that people see, with the names above it.
    fn visible(
        name: &str,
        command: &Command,
        above: Option<&Command>,
        each: &mut impl FnMut(&str, &Command, Option<&Command>),
    ) {
        each(name, command, above);
        for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help") {
            visible(&format!("{name} {}", inner.get_name()), inner, Some(command), each);
        }
    }

    #[test]
    fn every_command_and_every_option_says_what_it_is_for() {
        let mut command = Cli::command();
        command.build();
        let (mut seen, mut missing) = (0, Vec::new());
        visible("model-factory", &command, None, &mut |name, command, above| {
            seen += 1;
            if command.get_about().is_none() {
                missing.push(format!("{name}: no help"));
            }
            for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
                if argument.get_help().is_none() {
                    missing.push(format!("{name}: {} has no help", argument.get_id()));
                }
                for value in argument.get_possible_values().iter().filter(|value| !value.is_hide_set()) {
                    let takes_word = argument.get_action().takes_values() && argument.get_id() != "shell";
                    if takes_word && value.get_help().is_none() && !["true", "false"].contains(&value.get_name()) {
                        missing.push(format!("{name}: {}={} has no help", argument.get_id(), value.get_name()));
                    }
                }
            }
            let has_example = |command: &Command| {
                command.get_after_help().is_some_and(|text| text.to_string().contains("model-factory "))
            };
            let is_leaf = command.get_subcommands().all(|inner| inner.get_name() == "help");
            if is_leaf && !has_example(command) && !above.is_some_and(has_example) {
                missing.push(format!("{name}: no example"));
            }
        });
        assert!(seen > 20, "only {seen} commands were found");
        assert!(missing.is_empty(), "\n{}", missing.join("\n"));
    }

    #[test]
    fn completions_and_pages_name_every_command() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "model-factory", &mut script);
            let script = String::from_utf8(script).unwrap();
            assert!(script.contains("dead-letters") && script.contains("doctor"), "{shell}");
        }
        let folder = tempfile::tempdir().unwrap();
        clap_mangen::generate_to(Cli::command(), folder.path()).unwrap();
        let page = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(page("model-factory.1").contains("doctor"));
        assert!(page("model-factory-runs-explain.1").contains("explain"));
        assert!(!folder.path().join("model-factory-trainer-child.1").exists(), "not for people");
    }
}
