//! `model-factory reproduce`: builds a bundle again from its pinned inputs.

use super::output::Output;
use super::verify::{ExpectedArgs, verifier};
use crate::adapters::dataset::Inputs;
use crate::config::Config;
use crate::tools::reproduce::{Rebuilder, Reproduction};
use crate::training::TrainerCommand;
use crate::worker::runner::Ceiling;
use anyhow::{Context as _, ensure};
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Build a bundle again from the inputs that it pins, and compare plan, model, report and bundle id.
///
/// Manifests, profiles and data are read as `[inputs]` of the configuration allows, and the training has at most the
/// limits of `[trainer]`, whatever the bundle says. If a registered command trained the model, `[trainer.commands]`
/// must register the same command: program, scripts and rights. A command that could read a file or folder of the
/// worker's is refused, as by a worker. No broker or database is needed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status 1 where a part comes out different from the bundle's, and where the command that trained
is not registered here or differs; then it names the difference.

Examples:
  MODEL_FACTORY_INPUTS__ROOT=/data model-factory reproduce ./bundle
  model-factory --config worker.toml reproduce ./bundle
  model-factory reproduce ./bundle --work /scratch --threads 1 --output json")]
pub(super) struct Args {
    /// Folder of the bundle.
    bundle: PathBuf,
    #[command(flatten)]
    expected: ExpectedArgs,
    /// Folder in which a temporary work folder is created. The work folder is removed at the end.
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// Threads of the fit. 0 uses every core.
    #[arg(long, default_value_t = 0)]
    threads: u32,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

impl Args {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        ensure!(self.bundle.is_dir(), "{} is no folder", self.bundle.display());
        // A stranger's bundle names the command that it wants started.
        config.check_commands().map_err(anyhow::Error::msg)?;
        let parent = self.work.unwrap_or_else(std::env::temp_dir);
        std::fs::create_dir_all(&parent).with_context(|| format!("cannot make {}", parent.display()))?;
        let work = tempfile::Builder::new()
            .prefix("model-factory-reproduce-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(parent.canonicalize()?)?;
        let threads = match self.threads {
            0 => std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
            threads => threads,
        };
        let rebuilder = Rebuilder {
            inputs: Inputs::open(&config.inputs)?,
            trainer: TrainerCommand::this_binary()?,
            commands: config.trainer.commands.clone(),
            allow_unconfined: config.trainer.allow_unconfined,
            threads,
            verifier: verifier(&config.trainer)?,
            ceiling: Ceiling::of(&config.trainer),
        };
        let expected = self.expected.read(None)?;
        let rebuilding = Box::pin(rebuilder.rebuild(&self.bundle, &expected, work.path()));
        let reproduction =
            rebuilding.await.map_err(|failure| anyhow::anyhow!("{}: {}", failure.code, failure.message))?;
        self.output.print(&[&reproduction], |out| show(out, &reproduction))?;
        Ok(if reproduction.identical { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn show(out: &mut dyn Write, reproduction: &Reproduction) -> std::io::Result<()> {
    writeln!(out, "bundle     {}", reproduction.verdict)?;
    for part in &reproduction.parts {
        if part.expected == part.found {
            writeln!(out, "{:<10} identical  {}", part.part, part.found)?;
        } else {
            writeln!(out, "{:<10} DIFFERS    {} instead of {}", part.part, part.found, part.expected)?;
        }
    }
    Ok(())
}
