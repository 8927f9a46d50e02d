//! `model-factory config`: prints every setting, and where its value comes from. Checks the files that settings name.

use super::doctor;
use super::output::{Output, print_table};
use crate::config::Loaded;
use crate::tools::doctor::check_documents;
use clap::Subcommand;
use serde_json::Value;
use std::process::ExitCode;

/// Show the configuration. Flags replace the environment, and the environment replaces the file.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  model-factory config show
  model-factory config check
  model-factory --config worker.toml --set worker.slots=2 config show --output json
  MODEL_FACTORY_LEDGER__PASSWORD_FILE=/run/secrets/ledger model-factory config show")]
pub(super) struct Args {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print every key with its value and where it came from. Secrets are never printed.
    ///
    /// Exit status 1 if anything is wrong with the configuration. Then every error is printed.
    #[command(after_help = "Example:\n  model-factory config show --output json | jq 'select(.origin != \"default\")'")]
    Show {
        /// How to print.
        #[arg(long, value_enum, default_value = "table")]
        output: Output,
    },
    /// Check the files that the configuration names: the signing key, the ownership boundaries, the policy. Says in
    /// yellow what the policy leaves open.
    ///
    /// Needs no broker, database or store. Exit status 1 if anything is red.
    #[command(after_help = "Example:\n  model-factory config check --set authority.policy=policy.yaml")]
    Check {
        /// How to print.
        #[arg(long, value_enum, default_value = "table")]
        output: Output,
    },
}

impl Args {
    pub(super) fn run(self, loaded: &Loaded) -> anyhow::Result<ExitCode> {
        match self.command {
            ConfigCommand::Show { output } => show(loaded, output),
            ConfigCommand::Check { output } => doctor::report(output, &check_documents(&loaded.config)),
        }
    }
}

fn show(loaded: &Loaded, output: Output) -> anyhow::Result<ExitCode> {
    let shown = loaded.show();
    output.print(&shown, |out| {
        let rows = shown.iter().map(|setting| {
            let value = match &setting.value {
                Value::Null => "-".to_owned(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            [setting.key.clone(), value, setting.origin.to_string()]
        });
        print_table(out, ["KEY", "VALUE", "ORIGIN"], rows)
    })?;
    Ok(ExitCode::SUCCESS)
}
