//! `model-factory config`: prints every setting, and where its value comes from.

use super::output::{Output, print_table};
use crate::config::Loaded;
use clap::Subcommand;
use serde_json::Value;
use std::process::ExitCode;

/// Show the configuration. Flags replace the environment, and the environment replaces the file.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  model-factory config show
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
}

impl Args {
    pub(super) fn run(self, loaded: &Loaded) -> anyhow::Result<ExitCode> {
        let ConfigCommand::Show { output } = self.command;
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
}
