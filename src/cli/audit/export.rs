//! `model-factory audit export`.

use crate::adapters::ledger::Ledger;
use crate::cli::ledger;
use crate::cli::output::json_lines;
use crate::config::Config;
use crate::domain::audit_log::{Block, Ending, Line};
use crate::domain::identity::RunId;
use anyhow::{Context as _, ensure};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// First block.
    #[arg(long, value_name = "SEQ", default_value_t = 1)]
    from: i64,
    /// Only blocks with acts on this run; the chain between them is left out.
    #[arg(long, value_name = "RUN_ID")]
    run: Option<RunId>,
    /// Where to write; standard output without it.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Args {
    pub(super) async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        ensure!(self.from >= 1, "--from: blocks are numbered from 1 on");
        let ledger = ledger::connect(&config).await?;
        match &self.output {
            None => self.write(&mut BufWriter::new(std::io::stdout().lock()), &ledger).await?,
            Some(path) => {
                // A half-written export must not stand under the final name.
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
