//! `model-factory verify`: checks a bundle offline, and gives a verdict.

use super::output::Output;
use crate::adapters::signing::{PublicKey, RequesterKey};
use crate::clock;
use crate::config::TrainerSettings;
use crate::domain::contract::Limits;
use crate::domain::identity::Digest;
use crate::tools::verify::{self, Expected, PageCircumstances, Verdict, Verification, Verifier};
use crate::training::{TrainerCommand, digest_of};
use anyhow::{Context as _, ensure};
use chrono::{DateTime, SubsecRound as _, Utc};
use std::fs;
use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Check a bundle as an auditor, and give a verdict in one sentence. Needs no network and no database.
///
/// Every file that follows from others is made again and compared byte by byte: from the request to plan, model, report,
/// gate receipt and signature. The model is scored in a child process within the limits of `[trainer]`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The last line is the verdict:
  VERIFIED: signed by KEY, made from …, gate passed …            exit status 0
  NOT VERIFIED: it is false that …, or no key was given          exit status 1
  UNSIGNED: consistent, but anybody could have made it           exit status 3, or 0 with --allow-unsigned
Take the public key from whoever published the bundle, never from the bundle. docs/verify.md says more.

Examples:
  model-factory verify ./bundle --public-key signing.pub
  model-factory verify ./bundle --public-key signing.pub --bundle-id $BUNDLE_ID --output json
  model-factory verify ./bundle --allow-unsigned
  model-factory verify ./bundle --public-key signing.pub --receipt publish_receipt.json --report check.html")]
pub(super) struct Args {
    /// Folder of the bundle.
    bundle: PathBuf,
    #[command(flatten)]
    expected: ExpectedArgs,
    #[command(flatten)]
    unsigned: UnsignedArgs,
    #[command(flatten)]
    witness: WitnessArgs,
    /// Also write a page for people who do not program: what was checked, by whom it was made, asked for and approved.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
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

#[derive(Debug, clap::Args)]
pub(super) struct UnsignedArgs {
    /// Accept a consistent bundle although nothing says who made it.
    #[arg(long)]
    allow_unsigned: bool,
}

/// Documents that must be about the bundle.
#[derive(Debug, clap::Args)]
struct WitnessArgs {
    /// Publication receipt (`publish/publish_receipt.json` of the run).
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    /// The request, as it was sent to the request topic.
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// Public key (PEM, Ed25519 or P-256) that must have signed the request.
    #[arg(long, value_name = "FILE", requires = "request")]
    requester_key: Option<PathBuf>,
    /// The event by which the registry said that it holds the bundle.
    #[arg(long, value_name = "FILE")]
    registry_event: Option<PathBuf>,
}

impl WitnessArgs {
    fn read(&self, expected: Expected) -> anyhow::Result<Expected> {
        let given = |path: Option<&PathBuf>| path.map(|path| document(path)).transpose();
        let key = |path: &PathBuf| -> anyhow::Result<RequesterKey> {
            let pem = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            RequesterKey::from_pem(&pem).with_context(|| path.display().to_string())
        };
        Ok(Expected {
            receipt: given(self.receipt.as_ref())?,
            request: given(self.request.as_ref())?,
            requester_key: self.requester_key.as_ref().map(key).transpose()?,
            registry_event: given(self.registry_event.as_ref())?,
            ..expected
        })
    }
}

/// Reads a document of at most 1 MiB.
fn document(path: &Path) -> anyhow::Result<Vec<u8>> {
    const MOST: u64 = 1 << 20;
    let mut bytes = Vec::new();
    let file = fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    file.take(MOST + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(bytes.len() as u64 <= MOST, "{} has more than {MOST} bytes", path.display());
    Ok(bytes)
}

impl ExpectedArgs {
    /// Reads the key. `unsigned` is `None` for commands that work on bundles of anybody.
    pub(super) fn read(&self, unsigned: Option<&UnsignedArgs>) -> anyhow::Result<Expected> {
        let read = |path: &PathBuf| -> anyhow::Result<PublicKey> {
            let pem = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            PublicKey::from_pem(&pem).with_context(|| path.display().to_string())
        };
        Ok(Expected {
            public_key: self.public_key.as_ref().map(read).transpose()?,
            bundle_id: self.bundle_id,
            allow_unsigned: unsigned.is_none_or(|unsigned| unsigned.allow_unsigned),
            ..Expected::default()
        })
    }
}

/// Returns the operator's limits. The memory limit is lowered to what the machine has.
pub(super) fn operators_limits(settings: &TrainerSettings) -> Limits {
    Limits {
        wall_seconds: settings.max_wall_seconds,
        memory_mib: settings.memory_mib(),
        cpu_seconds: settings.max_cpu_seconds,
        file_mib: settings.max_file_mib,
        processes: settings.max_processes,
        ..Limits::default()
    }
}

pub(super) fn verifier(settings: &TrainerSettings) -> anyhow::Result<Verifier> {
    Ok(Verifier::new(TrainerCommand::this_binary()?, &operators_limits(settings)))
}

impl Args {
    /// Exit status of a bundle that is consistent and that nobody signed.
    const UNSIGNED: u8 = 3;

    pub(super) async fn run(self, settings: &TrainerSettings) -> anyhow::Result<ExitCode> {
        let about = fs::metadata(&self.bundle).with_context(|| format!("cannot read {}", self.bundle.display()))?;
        ensure!(about.is_dir(), "{} is no folder", self.bundle.display());
        let expected = self.witness.read(self.expected.read(Some(&self.unsigned))?)?;
        let (verification, verified) = verifier(settings)?.open(&self.bundle, &expected).await;
        self.output.print(&[&verification], |out| show(out, &verification))?;
        if let Some(path) = &self.report {
            let circumstances = PageCircumstances {
                at: DateTime::<Utc>::from(clock::system_time()).trunc_subsecs(0),
                folder: &self.bundle.canonicalize()?,
                program_sha256: digest_of(&std::env::current_exe()?)?,
            };
            let page = verify::page(&verification, verified.as_ref(), &expected, &circumstances);
            fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(match verification.verdict {
            Verdict::Verified => ExitCode::SUCCESS,
            Verdict::Unsigned if expected.allow_unsigned => ExitCode::SUCCESS,
            Verdict::Unsigned => ExitCode::from(Self::UNSIGNED),
            Verdict::NotVerified => ExitCode::FAILURE,
        })
    }
}

fn show(out: &mut dyn Write, verification: &Verification) -> std::io::Result<()> {
    for held in &verification.checked {
        writeln!(out, "{:<12} ok      {}", held.link, held.checked)?;
    }
    for open in &verification.open {
        writeln!(out, "{:<12} open    {}", open.link, open.checked)?;
    }
    if let Some(broken) = &verification.broken {
        writeln!(out, "{:<12} BROKEN  {}", broken.link, broken.why)?;
        writeln!(out, "what comes after {} was not checked", broken.link)?;
    }
    writeln!(out, "{}", verification.sentence)
}
