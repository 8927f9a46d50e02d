//! `model-factory dead-letters`: what was refused, and why.

use super::table::{Output, Table, json_lines};
use crate::config::Config;
use crate::ledger::{DeadLetterRecord, Ledger};
use anyhow::Context as _;
use clap::{Args, Subcommand};
use std::io::Write;
use std::process::ExitCode;

/// List refused records with code, pointer and rule.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  model-factory dead-letters list --output json")]
pub(super) struct DeadLettersArgs {
    #[command(subcommand)]
    command: DeadLettersCommand,
    /// How to print.
    #[arg(long, value_enum, default_value = "table", global = true)]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum DeadLettersCommand {
    /// The latest refused records, newest first.
    List {
        /// Records at the most.
        #[arg(long, default_value_t = 50)]
        limit: i64,
    },
}

impl DeadLettersArgs {
    pub(super) async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        let ledger = Ledger::connect(&config.ledger).await.context("cannot reach Postgres ([ledger] url)")?;
        let DeadLettersCommand::List { limit } = self.command;
        let letters = ledger.dead_letters(limit).await?;
        let mut out = std::io::stdout().lock();
        match self.output {
            Output::Json => json_lines(&mut out, &letters)?,
            Output::Table => list(&mut out, &letters)?,
        }
        ledger.close().await;
        Ok(ExitCode::SUCCESS)
    }
}

/// A table of dead letters; `demo` prints the same.
pub(super) fn list(out: &mut dyn Write, letters: &[DeadLetterRecord]) -> anyhow::Result<()> {
    let mut table = Table::new(&["SOURCE", "BYTES", "CODE", "POINTER", "MESSAGE"]);
    for letter in letters {
        let header = |name: &str| letter.headers.get(name).cloned().unwrap_or_default();
        let source = format!("{}/{}", header("mf_source_partition"), header("mf_source_offset"));
        table.row([source, letter.bytes.to_string(), header("mf_code"), header("mf_pointer"), header("mf_message")]);
    }
    Ok(table.print(out)?)
}
