//! `model-factory audit`: who did what to which run, and proof that nobody changed the log.

mod export;
mod verify;

use crate::config::Config;
use clap::Subcommand;
use std::process::ExitCode;

/// Check the audit log against its own digests and the ledger, or write it out for others to check.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
docs/audit-log.md says how the digests are computed and what to do with the head.

Examples:
  model-factory audit verify
  model-factory audit verify --head 1042:9f86d081…
  model-factory audit export --output audit.jsonl
  model-factory audit export --run tr_16a2ad9c3ad29e2e989ece1cb3c61936
  model-factory audit verify --file audit.jsonl")]
pub(super) struct Args {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Follow the chain from its first block, compute every digest again, and compare the log with the ledger. Names
    /// the first block that does not fit; exit status 1 where there is one, and where log and ledger disagree.
    Verify(verify::Args),
    /// Write the log as lines of JSON, a block each. The last line says where the chain stands: keep it elsewhere.
    Export(export::Args),
}

impl Args {
    pub(super) async fn run(self, config: impl FnOnce() -> anyhow::Result<Config>) -> anyhow::Result<ExitCode> {
        match self.command {
            AuditCommand::Verify(args) => args.run(config).await,
            AuditCommand::Export(args) => args.run(config()?).await,
        }
    }
}
