//! Reads a bundle's files from a folder, and the documents in them.

use super::link::{BrokenLink, Link};
use crate::domain::contract::{
    BundleArtifact, BundleManifest, EvalReport, GateReceipt, ModelFormat, SchemaName, TrainPlan, read_json,
};
use crate::domain::identity::Digest;
use crate::modelling::SIGNATURE_FILE;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The bytes of every file of a bundle. The key is the file's name.
pub(super) struct Folder(BTreeMap<String, Vec<u8>>);

/// Files of a bundle that are not in the list in `bundle.json`.
const UNLISTED: [&str; 2] = [BundleManifest::FILE, SIGNATURE_FILE];

/// Upper bounds on the size of one file and on the number of files that are read into memory.
const MAX_BYTES: u64 = 1 << 30;
const MAX_FILES: usize = 1_000;

impl Folder {
    /// Reads the folder. Returns an error if the folder holds anything but regular files.
    pub(super) fn read(folder: &Path) -> Result<Self, BrokenLink> {
        let unreadable =
            |what: &Path, error: std::io::Error| Link::Files.broken(format!("{}: {error}", what.display()));
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, error))? {
            let entry = entry.map_err(|error| unreadable(folder, error))?;
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let found = entry.metadata().map_err(|error| unreadable(&path, error))?;
            Link::Files.must(found.is_file(), || format!("{name} is no regular file"))?;
            Link::Files.must(found.len() <= MAX_BYTES, || format!("{name} has {} bytes", found.len()))?;
            Link::Files.must(files.len() < MAX_FILES, || "there are too many files".to_owned())?;
            files.insert(name, fs::read(&path).map_err(|error| unreadable(&path, error))?);
        }
        Ok(Self(files))
    }

    pub(super) fn find(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// Moves a file's bytes out of this value. Empty if there is no such file.
    pub(super) fn take(&mut self, name: &str) -> Vec<u8> {
        self.0.remove(name).unwrap_or_default()
    }

    pub(super) fn get(&self, link: Link, name: &str) -> Result<&[u8], BrokenLink> {
        self.find(name).ok_or_else(|| link.broken(format!("there is no {name}")))
    }

    pub(super) fn document<T: DeserializeOwned>(
        &self,
        link: Link,
        name: &str,
        schema: SchemaName,
    ) -> Result<T, BrokenLink> {
        read_json(schema, self.get(link, name)?).map_err(|error| link.broken(format!("{name}: {error}")))
    }

    /// Returns the digest of every file but the signature. The key is the file's name.
    pub(super) fn digests(&self) -> BTreeMap<String, Digest> {
        let signed = self.0.iter().filter(|(name, _)| *name != SIGNATURE_FILE);
        signed.map(|(name, bytes)| (name.clone(), Digest::of(bytes))).collect()
    }

    /// Compares the files with the list in `bundle.json`. Returns the list with `bundle.json` itself added.
    pub(super) fn check(&self, listed: &[BundleArtifact]) -> Result<Vec<BundleArtifact>, BrokenLink> {
        let link = Link::Files;
        for (index, file) in listed.iter().enumerate() {
            let name = &file.path;
            let bytes = self.find(name).ok_or_else(|| link.broken(format!("{name} is missing")))?;
            let found = Digest::of(bytes);
            link.must(bytes.len() as u64 == file.bytes && found == file.sha256, || {
                format!("{name} has digest {found}, bundle.json says {}", file.sha256)
            })?;
            let twice = listed[..index].iter().any(|before| before.path == *name);
            link.must(!twice && !UNLISTED.contains(&name.as_str()), || {
                format!("bundle.json lists {name} where it must not")
            })?;
        }
        let known = |name: &str| UNLISTED.contains(&name) || listed.iter().any(|file| file.path == name);
        if let Some(name) = self.0.keys().find(|name| !known(name)) {
            return Err(link.broken(format!("{name} is not in bundle.json")));
        }
        let bytes = self.get(Link::Bundle, BundleManifest::FILE)?;
        let mut all = listed.to_vec();
        all.push(BundleArtifact {
            path: BundleManifest::FILE.to_owned(),
            sha256: Digest::of(bytes),
            bytes: bytes.len() as u64,
            media_type: "application/json".to_owned(),
        });
        Ok(all)
    }
}

/// Result of checking a link: what was checked, or why the link is broken.
pub(super) type Holds = Result<String, BrokenLink>;

/// A bundle whose files have the digests that `bundle.json` lists.
pub(super) struct ReadBundle<'a> {
    pub(super) folder: &'a Folder,
    pub(super) manifest: BundleManifest,
    pub(super) plan: TrainPlan,
    pub(super) plan_digest: Digest,
    pub(super) format: ModelFormat,
    pub(super) model: &'a [u8],
    pub(super) model_digest: Digest,
    pub(super) report: EvalReport,
    pub(super) report_digest: Digest,
    pub(super) receipt: GateReceipt,
}

impl<'a> ReadBundle<'a> {
    pub(super) fn read(folder: &'a Folder, manifest: BundleManifest) -> Result<Self, BrokenLink> {
        let plan = folder.document(Link::Plan, "resolved_train_plan.json", SchemaName::ResolvedTrainPlan)?;
        let (format, model) = model_of(folder)?;
        Ok(Self {
            plan,
            plan_digest: Digest::of(folder.get(Link::Plan, "resolved_train_plan.json")?),
            report: folder.document(Link::Report, "eval_report.json", SchemaName::EvalReport)?,
            report_digest: Digest::of(folder.get(Link::Report, "eval_report.json")?),
            receipt: folder.document(Link::Gate, "gate_receipt.json", SchemaName::GateReceipt)?,
            model_digest: Digest::of(model),
            folder,
            manifest,
            format,
            model,
        })
    }

    pub(super) fn json(&self, link: Link, name: &str) -> Result<Value, BrokenLink> {
        serde_json::from_slice(self.folder.get(link, name)?).map_err(|error| link.broken(format!("{name}: {error}")))
    }
}

/// Returns the model and its format. Exactly one file of the folder must be a model.
fn model_of(folder: &Folder) -> Result<(ModelFormat, &[u8]), BrokenLink> {
    let mut found = ModelFormat::ALL.iter().filter_map(|&format| Some((format, folder.find(format.file_name())?)));
    match (found.next(), found.next()) {
        (Some(model), None) => Ok(model),
        (None, _) => Err(Link::Model.broken("there is no model")),
        (Some(_), Some(_)) => Err(Link::Model.broken("there are two models")),
    }
}
