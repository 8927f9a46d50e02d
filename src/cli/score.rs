//! `model-factory score`: scores a file of rows with a bundle.

use super::output::Output;
use super::progress::Bar;
use super::verify::ExpectedArgs;
use crate::config::TrainerSettings;
use crate::domain::contract::Limits;
use crate::tools::score::{BundleScorer, ScoreOrder, Scoring};
use crate::training::TrainerCommand;
use anyhow::ensure;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Score a Parquet file with a bundle that verifies. Writes ids and probabilities of fraud, as Parquet.
///
/// The bundle is verified first, offline. Then a child process within the limits of `[trainer]` scores the rows, a few
/// thousand at a time. It reads rows in the same way as training and evaluation.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The features are found by name, in any order; other columns are not read. A null is a missing value;
so is a category that the model never saw, and the answer counts these. A missing column, a type
that the feature cannot have and an infinite value are refused, and no file is written.

The scores have the columns row_id and score (32-bit float), in the order of the rows; the
metadata of the file names run, bundle and model. Rows without ids are numbered from 0.

Examples:
  model-factory score ./bundle payments.parquet
  model-factory score ./bundle payments.parquet --public-key signing.pub --out scores.parquet
  model-factory score ./bundle payments.parquet --row-id payment_no --force --output json")]
pub(super) struct Args {
    /// Folder of the bundle.
    bundle: PathBuf,
    /// Parquet file with the rows.
    file: PathBuf,
    #[command(flatten)]
    expected: ExpectedArgs,
    /// Column with the rows' ids. By default the id column of the training data, if the file has it.
    #[arg(long, value_name = "COLUMN")]
    row_id: Option<String>,
    /// File to write the scores to. By default `NAME.scores.parquet` beside the rows.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace an existing file.
    #[arg(long)]
    force: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

impl Args {
    pub(super) async fn run(self, settings: &TrainerSettings) -> anyhow::Result<ExitCode> {
        ensure!(self.bundle.is_dir(), "{} is no folder", self.bundle.display());
        let scorer = BundleScorer { trainer: TrainerCommand::this_binary()?, limits: limits(settings) };
        let order = ScoreOrder {
            expected: self.expected.read()?,
            out: self.out.unwrap_or_else(|| self.file.with_extension("scores.parquet")),
            bundle: self.bundle,
            file: self.file,
            row_id: self.row_id,
            replace: self.force,
        };
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let stop = async {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
        };
        let bar = Bar::new();
        let scoring = scorer.score(&order, stop, |progress| bar.at(progress.fraction, &progress.message)).await;
        bar.finish();
        let scoring = scoring?;
        self.output.print(&[&scoring], |out| show(out, &scoring))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns the operator's limits. The memory limit is lowered to what the machine has.
fn limits(settings: &TrainerSettings) -> Limits {
    Limits {
        wall_seconds: settings.max_wall_seconds,
        memory_mib: settings.memory_mib(),
        cpu_seconds: settings.max_cpu_seconds,
        file_mib: settings.max_file_mib,
        processes: settings.max_processes,
        ..Limits::default()
    }
}

fn show(out: &mut dyn Write, scoring: &Scoring) -> std::io::Result<()> {
    writeln!(out, "model    {} of {}", scoring.model_sha256, scoring.run_id)?;
    writeln!(out, "bundle   {}, every link holds", scoring.bundle_id)?;
    let ids = scoring.scored.id_column.as_deref().unwrap_or("their numbers");
    writeln!(out, "rows     {}, by {ids}", scoring.scored.rows)?;
    for (feature, rows) in &scoring.scored.unknown_categories {
        writeln!(out, "unknown  {feature}: {rows} rows with a category that the model never saw, taken as missing")?;
    }
    writeln!(out, "scores   {}", scoring.out.display())
}
