//! `model-factory schema`: shows the schemas that are embedded in the program, and checks documents.

use super::output::{print_table, stdout};
use crate::domain::contract::{DocumentError, SchemaName, read_yaml, schema_text};
use anyhow::Context as _;
use clap::Subcommand;
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Show the schemas of messages, profiles and evidence, or check a document.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  model-factory schema list
  model-factory schema show train_build_request.v0
  model-factory schema validate training_profile.v0 profile.yaml")]
pub(super) struct Args {
    #[command(subcommand)]
    command: SchemaCommand,
}

#[derive(Debug, Subcommand)]
enum SchemaCommand {
    /// Print names and titles.
    List,
    /// Print the schema's text.
    Show {
        /// Name as `list` prints it.
        name: String,
    },
    /// Check a JSON or YAML document.
    Validate {
        /// Name as `list` prints it.
        name: String,
        /// The document.
        file: PathBuf,
    },
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut out = stdout();
        match self.command {
            SchemaCommand::List => {
                let mut rows = Vec::new();
                for &schema in SchemaName::ALL {
                    let text: Value = serde_json::from_str(schema_text(schema))?;
                    let title = text["title"].as_str().unwrap_or_default().to_owned();
                    rows.push([schema.as_str().to_owned(), title]);
                }
                print_table(&mut out, ["NAME", "TITLE"], rows)?;
            }
            SchemaCommand::Show { name } => out.write_all(schema_text(find(&name)?).as_bytes())?,
            SchemaCommand::Validate { name, file } => {
                let bytes = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
                match read_yaml::<Value>(find(&name)?, &bytes) {
                    Ok(_) => writeln!(out, "{} is a valid {name}", file.display())?,
                    Err(DocumentError { pointer, rule, .. }) => {
                        writeln!(out, "{} is not a valid {name}: at {pointer:?}: {rule}", file.display())?;
                        return Ok(ExitCode::FAILURE);
                    }
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn find(name: &str) -> anyhow::Result<SchemaName> {
    let found = SchemaName::ALL.iter().copied().find(|schema| schema.as_str() == name);
    found.with_context(|| format!("there is no schema {name:?}; `model-factory schema list` prints the names"))
}
