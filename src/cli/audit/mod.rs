//! `model-factory audit`: checks whether anybody changed the log of who did what to which run, and exports the log.

mod verify;

use super::ledger;
use super::output::json_lines;
use crate::adapters::ledger::Ledger;
use crate::config::Config;
use crate::domain::audit_log::{Block, Ending, Line};
use crate::domain::identity::RunId;
use anyhow::{Context as _, ensure};
use clap::Subcommand;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
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
    /// Check the chain from its first block, compute every digest again, and compare the log with the ledger. Names the
    /// first block that is wrong. Exit status 1 if there is one, or if log and ledger disagree.
    Verify(verify::Args),
    /// Write the log as lines of JSON, one block per line. The last line is the head of the chain: keep it elsewhere.
    Export(ExportArgs),
}

impl Args {
    pub(super) async fn run(self, config: impl FnOnce() -> anyhow::Result<Config>) -> anyhow::Result<ExitCode> {
        match self.command {
            AuditCommand::Verify(args) => args.run(config).await,
            AuditCommand::Export(args) => args.run(config()?).await,
        }
    }
}

#[derive(Debug, clap::Args)]
struct ExportArgs {
    /// Number of the first block to write.
    #[arg(long, value_name = "SEQ", default_value_t = 1)]
    from: i64,
    /// Write only blocks with acts on this run. The blocks between them are left out.
    #[arg(long, value_name = "RUN_ID")]
    run: Option<RunId>,
    /// File to write to. By default standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl ExportArgs {
    async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        ensure!(self.from >= 1, "--from: blocks are numbered from 1 on");
        let ledger = ledger::connect(&config).await?;
        match &self.output {
            None => self.write(&mut BufWriter::new(std::io::stdout().lock()), &ledger).await?,
            Some(path) => {
                // A half-written export must not appear under the final name.
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                let file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))
                    .with_context(|| format!("cannot write beside {}", path.display()))?;
                self.write(&mut BufWriter::new(&file), &ledger).await?;
                file.as_file().sync_all()?;
                file.persist(path).with_context(|| format!("cannot write {}", path.display()))?;
            }
        }
        ledger.close().await;
        Ok(ExitCode::SUCCESS)
    }

    async fn write(&self, out: &mut dyn Write, ledger: &Ledger) -> anyhow::Result<()> {
        let head = ledger.audit_head().await?;
        let mut ending = Ending { head, from: self.from, blocks: 0, run_id: self.run.clone() };
        let mut behind = self.from - 1;
        loop {
            let blocks = ledger.audit_blocks(behind, head.seq).await?;
            let Some(last) = blocks.last() else { break };
            behind = last.seq;
            for block in blocks {
                if self.concerns(&block)? {
                    ending.blocks += 1;
                    json_lines(out, &[Line::Block(block)])?;
                }
            }
        }
        json_lines(out, &[Line::Ending(ending)])?;
        Ok(out.flush()?)
    }

    fn concerns(&self, block: &Block) -> anyhow::Result<bool> {
        let Some(run_id) = &self.run else { return Ok(true) };
        if !block.body.contains(run_id.as_str()) {
            return Ok(false);
        }
        let body = block.read().with_context(|| format!("block {} does not read", block.seq))?;
        Ok(body.acts.iter().any(|act| {
            let mut removed = act.removed.iter().flat_map(|removed| &removed.run_ids);
            act.subject.run_id.as_ref() == Some(run_id) || removed.any(|gone| gone == run_id.as_str())
        }))
    }
}
