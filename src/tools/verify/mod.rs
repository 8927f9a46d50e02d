//! `verify`: checks a bundle as an auditor would, link by link, from its files alone.
//!
//! Guarantees: if one document of the folder names bytes of another, these bytes are checked. The first link that does
//! not hold is reported. Never: opens a socket, a database or a file outside the folder.

mod documents;
mod folder;
mod link;
mod packaging;

pub use link::{BrokenLink, CheckedLink, Link, Verification};

use crate::adapters::signing::PublicKey;
use crate::domain::contract::{BundleManifest, ModelFormat, ParityVectors, SchemaName, TrainPlan};
use crate::domain::identity::Digest;
use crate::modelling::{bundle_id, bundle_version};
use folder::{Folder, Holds, ReadBundle};
use std::path::Path;

type Check = fn(&ReadBundle<'_>) -> Holds;

/// The links between the bundle's documents, in the order in which they are checked.
const LINKS: [(Link, Check); 9] = [
    (Link::Request, documents::request),
    (Link::Plan, documents::plan),
    (Link::Data, documents::data),
    (Link::Model, documents::model),
    (Link::Report, documents::report),
    (Link::Gate, documents::gate),
    (Link::Provenance, packaging::provenance),
    (Link::Descriptions, packaging::descriptions),
    (Link::Parity, packaging::parity),
];

/// What the caller knows about a bundle from another source.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// The key that must have signed the bundle. If `None`, who signed is not checked.
    pub public_key: Option<PublicKey>,
    /// The id that the bundle must have, for example from its publication. `None` accepts any id.
    pub bundle_id: Option<Digest>,
}

/// A bundle in which every link holds. Its parts are in memory, so that later changes of the folder do not matter.
#[derive(Debug)]
pub struct Verified {
    pub bundle_id: Digest,
    pub plan: TrainPlan,
    pub format: ModelFormat,
    pub model: Vec<u8>,
    /// Rows with the model's scores.
    pub parity: ParityVectors,
}

/// Checks the bundle in this folder, and returns its parts if every link holds.
pub fn open(folder: &Path, expected: &Expected) -> Result<Verified, BrokenLink> {
    follow(folder, expected, &mut Verification::default())
}

/// Checks the bundle in this folder, up to the first broken link.
pub fn verify(folder: &Path, expected: &Expected) -> Verification {
    let mut verification = Verification::default();
    if let Err(broken) = follow(folder, expected, &mut verification) {
        verification.broken = Some(broken);
    }
    verification.intact = verification.broken.is_none();
    verification
}

/// Checks every link in order. Adds each link that holds to `verification`.
fn follow(folder: &Path, expected: &Expected, verification: &mut Verification) -> Result<Verified, BrokenLink> {
    let mut folder = Folder::read(folder)?;
    let manifest: BundleManifest = folder.document(Link::Bundle, BundleManifest::FILE, SchemaName::Bundle)?;
    verification.run_id = Some(manifest.run_id.clone());
    let files = folder.check(&manifest.files)?;
    let id = bundle_id(&files);
    verification.bundle_id = Some(id);
    verification.bundle_version = Some(bundle_version(&id, &manifest.lineage.revisions));
    let wanted = expected.bundle_id.unwrap_or(id);
    Link::Bundle.must(wanted == id, || format!("the bundle's id is {id}, expected is {wanted}"))?;
    let mut note = |link, checked| verification.checked.push(CheckedLink { link, checked });
    let against = if expected.bundle_id.is_some() { "as expected" } else { "nothing known to compare it with" };
    note(Link::Bundle, format!("bundle.json fits its schema; the id is {id}, {against}"));
    note(Link::Files, format!("{} files with the digests that bundle.json lists, and no other", files.len()));

    let bundle = ReadBundle::read(&folder, manifest)?;
    for (link, check) in LINKS {
        note(link, check(&bundle)?);
    }
    note(Link::Signature, packaging::signature(&folder, expected.public_key.as_ref())?);
    let ReadBundle { plan, format, .. } = bundle;
    let parity = folder.document(Link::Parity, ParityVectors::FILE, SchemaName::ParityVectors)?;
    Ok(Verified { bundle_id: id, plan, format, model: folder.take(format.file_name()), parity })
}
