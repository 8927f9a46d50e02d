//! `model-factory verify`: checks a bundle link by link, offline.

use super::output::Output;
use crate::adapters::signing::PublicKey;
use crate::domain::identity::Digest;
use crate::tools::verify::{self, Expected, Verification};
use anyhow::{Context as _, ensure};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Check a bundle as an auditor: every digest, the chain request → plan → data → model → report → gate,
/// provenance, parity vectors, signature. Needs no network and no database.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints every link that it checked and the first one that is broken; exit status 1 where one is.
Without --public-key it does not check who signed the bundle. Without --bundle-id it accepts a bundle
that was made anew as a whole.

Examples:
  model-factory verify ./bundle --public-key signing.pub
  model-factory verify ./bundle --bundle-id 5d41402a… --output json")]
pub(super) struct Args {
    /// Folder of the bundle.
    bundle: PathBuf,
    #[command(flatten)]
    expected: ExpectedArgs,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// What the caller knows about a bundle from another source. The bundle must match it.
#[derive(Debug, clap::Args)]
pub(super) struct ExpectedArgs {
    /// Public key (PEM, curve P-256) that must have signed the bundle.
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    /// Id that the bundle must have, for example from its publication.
    #[arg(long, value_name = "SHA256")]
    bundle_id: Option<Digest>,
}

impl ExpectedArgs {
    pub(super) fn read(&self) -> anyhow::Result<Expected> {
        let read = |path: &PathBuf| -> anyhow::Result<PublicKey> {
            let pem = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            PublicKey::from_pem(&pem).with_context(|| path.display().to_string())
        };
        Ok(Expected { public_key: self.public_key.as_ref().map(read).transpose()?, bundle_id: self.bundle_id })
    }
}

impl Args {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        ensure!(self.bundle.is_dir(), "{} is no folder", self.bundle.display());
        let verification = verify::verify(&self.bundle, &self.expected.read()?);
        self.output.print(&[&verification], |out| show(out, &verification))?;
        Ok(if verification.intact { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn show(out: &mut dyn Write, verification: &Verification) -> std::io::Result<()> {
    for held in &verification.checked {
        writeln!(out, "{:<12} ok      {}", held.link, held.checked)?;
    }
    if let Some(broken) = &verification.broken {
        writeln!(out, "{:<12} BROKEN  {}", broken.link, broken.why)?;
    }
    Ok(())
}
