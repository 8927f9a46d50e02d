//! `model-factory migrate`: migrates the database to the schema of this release.

use super::ledger::ActorArgs;
use super::output::stdout;
use crate::adapters::ledger::Ledger;
use crate::config::Config;
use std::io::Write as _;
use std::process::ExitCode;

/// Migrate the database to the schema of this release. May be run again, and several times at once.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  MODEL_FACTORY_LEDGER__URL=postgres://mf@localhost/mf model-factory migrate")]
pub(super) struct Args {
    #[command(flatten)]
    actor: ActorArgs,
}

impl Args {
    pub(super) async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        let ledger = Ledger::connect(&config.ledger).await?;
        let applied = ledger.migrate_by(&self.actor.name()).await?;
        ledger.close().await;
        let mut out = stdout();
        match applied.as_slice() {
            [] => writeln!(out, "the database is up to date")?,
            versions => writeln!(out, "applied migrations: {versions:?}")?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
