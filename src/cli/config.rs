//! `model-factory config`: what is set, and by whom.

use super::table::{Output, Table, json_lines};
use crate::config::Loaded;
use clap::{Args, Subcommand};
use serde_json::Value;
use std::process::ExitCode;

/// Look at the configuration: file, then environment, then flags, the last one wins.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  model-factory config show
  model-factory --config worker.toml --set worker.slots=2 config show --output json
  MODEL_FACTORY_LEDGER__PASSWORD_FILE=/run/secrets/ledger model-factory config show")]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print every key with its value and where it came from. Secrets are never printed.
    ///
    /// Exit status 1 when anything is wrong with the configuration; then every fault is told.
    #[command(after_help = "Example:\n  model-factory config show --output json | jq 'select(.origin != \"default\")'")]
    Show {
        /// How to print.
        #[arg(long, value_enum, default_value = "table")]
        output: Output,
    },
}

impl ConfigArgs {
    pub(super) fn run(self, loaded: &Loaded) -> anyhow::Result<ExitCode> {
        let ConfigCommand::Show { output } = self.command;
        let mut out = std::io::stdout().lock();
        let shown = loaded.show();
        match output {
            Output::Json => json_lines(&mut out, &shown)?,
            Output::Table => {
                let mut table = Table::new(&["KEY", "VALUE", "ORIGIN"]);
                for shown in shown {
                    let value = match shown.value {
                        Value::Null => "-".to_owned(),
                        Value::String(text) => text,
                        other => other.to_string(),
                    };
                    table.row([shown.key, value, shown.origin.to_string()]);
                }
                table.print(&mut out)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
