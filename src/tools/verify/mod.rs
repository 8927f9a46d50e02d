//! `verify`: checks a bundle as an auditor would, from its files alone, and gives a verdict.
//!
//! Guarantees: every file that follows from others is made again by the functions that wrote it, and compared byte by
//! byte. The folder holds no other file. What is read has bounds. The model is read in a child process. The first link
//! that does not hold is reported. Never: opens a socket or a database, or runs code of the bundle.

mod documents;
mod expected;
mod folder;
mod link;
mod mismatch;
mod model;
mod page;
mod remake;
mod signature;
mod verdict;
mod witness;

pub use expected::Expected;
pub use link::{BrokenLink, CheckedLink, Link};
pub use page::{PageCircumstances, page};
pub use remake::provenance;
pub use verdict::{Verdict, Verification};

use crate::domain::contract::{
    BundleManifest, DecisionReport, EvalReport, GateReceipt, Limits, ModelFormat, ParityVectors, SchemaName, TrainPlan,
};
use crate::domain::identity::Digest;
use crate::modelling::{bundle_id, bundle_version};
use crate::training::TrainerCommand;
use folder::Folder;
use remake::ReadBundle;
use signature::Signed;
use std::path::Path;
use verdict::counted;
use witness::{About, Witnessed};

/// Checks bundles. Each model is read in a child process.
pub struct Verifier {
    trainer: TrainerCommand,
    limits: Limits,
}

/// A bundle in which every link holds. Its parts are in memory, so that later changes of the folder do not matter.
#[derive(Debug)]
pub struct Verified {
    pub bundle_id: Digest,
    pub plan: TrainPlan,
    pub plan_sha256: Digest,
    pub report: EvalReport,
    pub report_sha256: Digest,
    /// `None` in a bundle of a release before there was one.
    pub decision: Option<DecisionReport>,
    pub receipt: GateReceipt,
    pub format: ModelFormat,
    pub model: Vec<u8>,
    /// Rows with the model's scores.
    pub parity: ParityVectors,
    witnessed: Witnessed,
}

impl Verifier {
    /// `limits` are those of the child process, but at most `MOST_SECONDS`: looking at a model takes seconds.
    pub fn new(trainer: TrainerCommand, limits: &Limits) -> Self {
        const MOST_SECONDS: u32 = 600;
        let limits = Limits {
            wall_seconds: limits.wall_seconds.min(MOST_SECONDS),
            cpu_seconds: limits.cpu_seconds.min(MOST_SECONDS),
            ..limits.clone()
        };
        Self { trainer, limits }
    }

    /// Checks the bundle in this folder, up to the first broken link.
    pub async fn verify(&self, folder: &Path, expected: &Expected) -> Verification {
        self.open(folder, expected).await.0
    }

    /// Checks the bundle in this folder. Also returns its parts if every link holds.
    pub async fn open(&self, folder: &Path, expected: &Expected) -> (Verification, Option<Verified>) {
        let mut verification = Verification::begin();
        match self.follow(folder, expected, &mut verification).await {
            Ok(verified) => (verification, Some(verified)),
            Err(broken) => {
                verification.conclude(Verdict::NotVerified, &broken.to_string());
                verification.broken = Some(broken);
                (verification, None)
            }
        }
    }

    /// Checks every link in order. Adds each link that holds to `verification`.
    async fn follow(
        &self,
        folder: &Path,
        expected: &Expected,
        verification: &mut Verification,
    ) -> Result<Verified, BrokenLink> {
        let mut folder = Folder::read(folder)?;
        let manifest: BundleManifest = folder.document(Link::Bundle, BundleManifest::FILE, SchemaName::Bundle)?.value;
        verification.run_id = Some(manifest.run_id.clone());
        let files = folder.check(&manifest.files)?;
        let id = bundle_id(&files);
        let version = bundle_version(&id, &manifest.lineage.revisions);
        verification.bundle_id = Some(id);
        verification.bundle_version = Some(version.clone());

        let bundle = ReadBundle::read(&folder)?;
        let mut note = |link, checked: String| verification.checked.push(CheckedLink { link, checked });
        bundle.check_names()?;
        note(
            Link::Files,
            format!("bundle.json and {} files with the digests that it lists, and no other", files.len() - 1),
        );
        let plan = &bundle.plan.value;
        let of_request = documents::request(plan)?;
        bundle.check_manifest()?;
        note(Link::Bundle, format!("made again, equal byte for byte; the bundle's id is {id}"));
        if let Some(wanted) = expected.bundle_id {
            Link::Id.must(wanted == id, || format!("its id is {id}, given was {wanted}"))?;
            note(Link::Id, format!("it is {id}"));
        }
        note(Link::Request, of_request);
        note(Link::Plan, format!("its digest, revisions and {} features are in bundle.json", plan.features.len()));
        let (manifests, data) = (counted(plan.manifests.len(), "manifest"), counted(plan.files.len(), "data file"));
        note(Link::Data, format!("{manifests}, 2 profiles and {data}, pinned by the same digests"));

        let inspected = model::inspect(&bundle, &self.trainer, &self.limits).await?;
        note(Link::Model, format!("{} is a model in the format {}", bundle.format.file_name(), bundle.format));
        note(Link::Report, documents::report(&bundle, inspected.counted.as_ref())?);
        note(Link::Gate, documents::gate(&bundle)?);
        let made_again = |names: Vec<&str>| format!("{} made again, equal byte for byte", names.join(", "));
        note(Link::Provenance, made_again(bundle.check_made(Link::Provenance, remake::is_provenance)?));
        note(Link::Descriptions, made_again(bundle.check_made(Link::Descriptions, remake::is_description)?));
        note(Link::Parity, model::parity(&bundle, &inspected)?);
        let signed = signature::signature(&folder, &version, expected.public_key.as_ref())?;
        let described = CheckedLink { link: Link::Signature, checked: signed.describe(files.len()) };
        match signed {
            Signed::By(_) => verification.checked.push(described),
            Signed::BySomebody | Signed::ByNobody => verification.open.push(described),
        }
        let about = About { folder: &folder, plan, bundle_id: id, version: &version };
        let witnessed = about.check(expected, &mut verification.checked)?;

        verification.intact = true;
        if let Signed::By(key) = signed {
            verification.signed_by = Some(key);
        }
        let documents = (plan, &bundle.report.value, &bundle.receipt.value);
        let (verdict, sentence) = verdict::of_intact(&signed, expected.allow_unsigned, documents);
        verification.conclude(verdict, &sentence);
        let (plan_sha256, report_sha256) = (Digest::of(bundle.plan.bytes), Digest::of(bundle.report.bytes));
        let ReadBundle { plan, report, decision, receipt, parity, format, .. } = bundle;
        let (plan, report, receipt, parity) = (plan.value, report.value, receipt.value, parity.value);
        let decision = decision.map(|decision| decision.value);
        let model = folder.take(format.file_name());
        Ok(Verified {
            bundle_id: id,
            plan,
            plan_sha256,
            report,
            report_sha256,
            decision,
            receipt,
            format,
            model,
            parity,
            witnessed,
        })
    }
}
