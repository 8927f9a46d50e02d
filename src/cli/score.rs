//! `model-factory score`: scores a file of rows with a bundle.

use super::output::Output;
use super::progress::Bar;
use super::verify::{ExpectedArgs, UnsignedArgs, operators_limits};
use crate::config::TrainerSettings;
use crate::tools::score::{BundleScorer, DecidedAt, ScoreOrder, Scoring};
use crate::training::TrainerCommand;
use anyhow::ensure;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Score a Parquet file with a bundle that verifies. Writes ids and probabilities of fraud, as Parquet.
///
/// The bundle is verified first, offline, with the key that must have signed it. Then a child process within the limits
/// of `[trainer]` scores the rows, a few thousand at a time. It reads rows in the same way as training and evaluation.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The features are found by name, in any order; other columns are not read. A null is a missing value;
so is a category that the model never saw, and the answer counts these. A missing column, a type
that the feature cannot have and an infinite value are refused, and no file is written.

The scores have the columns row_id and score (32-bit float), in the order of the rows; with
--operating-point also decision, which is true where the score is at least the threshold of that
point. With --calibrated-to champion the column champion_score has the score on the scale of the
model that the bundle was compared with, so that rules keep their thresholds. The metadata of the
file names run, bundle, model, operating point and threshold. Rows without ids are numbered from 0.

Examples:
  model-factory score ./bundle payments.parquet --public-key signing.pub
  model-factory score ./bundle payments.parquet --public-key signing.pub --out scores.parquet
  model-factory score ./bundle payments.parquet --public-key signing.pub --operating-point review
  model-factory score ./bundle payments.parquet --allow-unsigned --row-id payment_no --force")]
pub(super) struct Args {
    /// Folder of the bundle.
    bundle: PathBuf,
    /// Parquet file with the rows.
    file: PathBuf,
    #[command(flatten)]
    expected: ExpectedArgs,
    #[command(flatten)]
    unsigned: UnsignedArgs,
    /// Column with the rows' ids. By default the id column of the training data, if the file has it.
    #[arg(long, value_name = "COLUMN")]
    row_id: Option<String>,
    /// Operating point of the bundle's decision report, whose threshold decides.
    #[arg(long, value_name = "NAME")]
    operating_point: Option<String>,
    /// Adds the score on another model's scale, by the score map of the bundle's decision report.
    #[arg(long, value_name = "MODEL")]
    calibrated_to: Option<MappedTo>,
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

/// A model on whose scale scores are written, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum MappedTo {
    /// The model that the bundle was compared with.
    Champion,
}

impl Args {
    pub(super) async fn run(self, settings: &TrainerSettings) -> anyhow::Result<ExitCode> {
        ensure!(self.bundle.is_dir(), "{} is no folder", self.bundle.display());
        let scorer = BundleScorer { trainer: TrainerCommand::this_binary()?, limits: operators_limits(settings) };
        let order = ScoreOrder {
            expected: self.expected.read(Some(&self.unsigned))?,
            out: self.out.unwrap_or_else(|| self.file.with_extension("scores.parquet")),
            bundle: self.bundle,
            file: self.file,
            row_id: self.row_id,
            operating_point: self.operating_point,
            on_champions_scale: self.calibrated_to.is_some(),
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
        let scoring = scorer.score(&order, stop, |progress| bar.at(progress.fraction, &progress.message));
        let scoring = Box::pin(scoring).await;
        bar.finish();
        let scoring = scoring?;
        self.output.print(&[&scoring], |out| show(out, &scoring))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn show(out: &mut dyn Write, scoring: &Scoring) -> std::io::Result<()> {
    writeln!(out, "model    {} of {}", scoring.model_sha256, scoring.run_id)?;
    writeln!(out, "bundle   {}", scoring.bundle_id)?;
    writeln!(out, "verdict  {}", scoring.verdict)?;
    let ids = scoring.scored.id_column.as_deref().unwrap_or("their numbers");
    writeln!(out, "rows     {}, by {ids}", scoring.scored.rows)?;
    if let (Some(DecidedAt { operating_point, threshold }), Some(flagged)) = (&scoring.decided, scoring.scored.flagged)
    {
        writeln!(out, "decision {flagged} rows flagged from {threshold}, by {operating_point}")?;
    }
    for (feature, rows) in &scoring.scored.unknown_categories {
        writeln!(out, "unknown  {feature}: {rows} rows with a category that the model never saw, taken as missing")?;
    }
    writeln!(out, "scores   {}", scoring.out.display())
}
