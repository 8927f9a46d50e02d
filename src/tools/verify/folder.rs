//! Reads a bundle's files from a folder within bounds, and the documents in them.

use super::link::{BrokenLink, Link};
use crate::domain::contract::{BundleArtifact, BundleManifest, ModelFormat, SchemaName, read_json};
use crate::domain::harmless::line;
use crate::domain::identity::{Digest, document_bytes};
use crate::modelling::SIGNATURE_FILE;
use nix::fcntl::OFlag;
use nix::unistd::{Whence, lseek};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The bytes of every file of a bundle. The key is the file's name.
pub(super) struct Folder(BTreeMap<String, Vec<u8>>);

/// A document of the bundle: its value, and its bytes as the bundle holds them.
pub(super) struct ReadDocument<'a, T> {
    pub(super) value: T,
    pub(super) bytes: &'a [u8],
}

/// Files of a bundle that are not in the list in `bundle.json`.
const UNLISTED: [&str; 2] = [BundleManifest::FILE, SIGNATURE_FILE];

const MIB: u64 = 1 << 20;
/// Upper bounds on what is read into memory. They hold for the length that a file states, whatever it takes on the disk.
struct Bounds {
    files: usize,
    model_bytes: u64,
    /// Of any other file.
    file_bytes: u64,
    /// Of all files together.
    sum_bytes: u64,
}

const BOUNDS: Bounds = Bounds { files: 32, model_bytes: 1_024 * MIB, file_bytes: 64 * MIB, sum_bytes: 1_280 * MIB };

/// Upper bound on a document that is parsed. A parsed document takes many times its length.
const MAX_DOCUMENT_BYTES: usize = 16 << 20;

impl Folder {
    /// Reads the folder. Looks at every file before it reads one. Returns an error if the folder holds anything but
    /// regular files within the bounds.
    pub(super) fn read(folder: &Path) -> Result<Self, BrokenLink> {
        Self::read_within(folder, &BOUNDS)
    }

    fn read_within(folder: &Path, bounds: &Bounds) -> Result<Self, BrokenLink> {
        let link = Link::Files;
        let unreadable = |what: &str, error: io::Error| link.broken(format!("{}: {error}", line(what, 200)));
        if let Err(error) = fs::symlink_metadata(folder.join(BundleManifest::FILE)) {
            let what = format!("there is no {} in it, so it is no bundle's folder", BundleManifest::FILE);
            return Err(Link::Bundle.broken(if error.kind() == io::ErrorKind::NotFound {
                what
            } else {
                error.to_string()
            }));
        }
        let mut files = Vec::new();
        let mut sum = 0;
        for entry in fs::read_dir(folder).map_err(|error| unreadable(&folder.display().to_string(), error))? {
            link.must(files.len() < bounds.files, || format!("there are more than {} files", bounds.files))?;
            let entry = entry.map_err(|error| unreadable(&folder.display().to_string(), error))?;
            let Ok(name) = entry.file_name().into_string() else {
                return Err(link.broken("the name of a file is no text"));
            };
            let (file, bytes) = open(&entry.path(), &name, bounds)?;
            sum += bytes;
            let most = bounds.sum_bytes;
            link.must(sum <= most, || format!("the files have more than {most} bytes together"))?;
            files.push((name, file, bytes));
        }
        for (name, file, bytes) in &files {
            let advice = "a bundle's files have none (`cp --sparse=never` fills them)";
            link.must(is_without_holes(file, *bytes), || format!("{} has holes; {advice}", line(name, 200)))?;
        }
        let read = |(name, file, bytes): (String, File, u64)| {
            let mut content = Vec::new();
            let found = file.take(bytes + 1).read_to_end(&mut content).map_err(|error| unreadable(&name, error))?;
            link.must(found as u64 == bytes, || format!("{} changes while it is read", line(&name, 200)))?;
            Ok((name, content))
        };
        files.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn find(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// Moves a file's bytes out of this value. Empty if there is no such file.
    pub(super) fn take(&mut self, name: &str) -> Vec<u8> {
        self.0.remove(name).unwrap_or_default()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(super) fn get(&self, link: Link, name: &str) -> Result<&[u8], BrokenLink> {
        self.find(name).ok_or_else(|| link.broken(format!("there is no {name}")))
    }

    /// Reads a document of this schema. It must be written as Model Factory writes documents, so that two readers of
    /// the same bytes cannot read different values.
    pub(super) fn document<T: DeserializeOwned>(
        &self,
        link: Link,
        name: &str,
        schema: SchemaName,
    ) -> Result<ReadDocument<'_, T>, BrokenLink> {
        let bytes = self.get(link, name)?;
        let most = MAX_DOCUMENT_BYTES;
        link.must(bytes.len() <= most, || format!("{name} has {} bytes, at most {most} are read", bytes.len()))?;
        let wrong = |why: &dyn std::fmt::Display| link.broken(format!("{name}: {}", line(&why.to_string(), 400)));
        let value: Value = read_json(schema, bytes).map_err(|error| wrong(&error))?;
        link.must(document_bytes(&value) == bytes, || {
            format!(
                "{name} is not the file that Model Factory wrote: spaces, order of keys or form of numbers differ. What it \
                 says was not looked at"
            )
        })?;
        Ok(ReadDocument { value: serde_json::from_value(value).map_err(|error| wrong(&error))?, bytes })
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
            let name = line(&file.path, 200);
            let bytes = self.find(&file.path).ok_or_else(|| link.broken(format!("{name} is missing")))?;
            let found = Digest::of(bytes);
            link.must(bytes.len() as u64 == file.bytes && found == file.sha256, || {
                format!("{name} has digest {found}, bundle.json says {}", file.sha256)
            })?;
            let twice = listed[..index].iter().any(|before| before.path == file.path);
            link.must(!twice && !UNLISTED.contains(&file.path.as_str()), || {
                format!("bundle.json lists {name} where it must not")
            })?;
        }
        let known = |name: &str| UNLISTED.contains(&name) || listed.iter().any(|file| file.path == name);
        if let Some(name) = self.names().find(|name| !known(name)) {
            return Err(link.broken(format!("{} is not in bundle.json", line(name, 200))));
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

/// Opens a regular file. Returns it with its length, which is within the bound of its kind.
fn open(path: &Path, name: &str, bounds: &Bounds) -> Result<(File, u64), BrokenLink> {
    let link = Link::Files;
    let name = &line(name, 200);
    let wrong = |error: io::Error| link.broken(format!("{name}: {error}"));
    // Looked at before it is opened, because opening a device may do something, and a pipe may wait for its other end.
    let is_file = fs::symlink_metadata(path).map_err(wrong)?.is_file();
    link.must(is_file, || format!("{name} is no regular file"))?;
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).map_err(wrong)?;
    let about = file.metadata().map_err(wrong)?;
    link.must(about.is_file(), || format!("{name} is no regular file"))?;
    let bytes = about.len();
    let is_model = ModelFormat::ALL.iter().any(|format| format.file_name() == name);
    let most = if is_model { bounds.model_bytes } else { bounds.file_bytes };
    link.must(bytes <= most, || format!("{name} has {bytes} bytes, at most {most} are read"))?;
    Ok((file, bytes))
}

/// Whether the file has no holes: then the file system reports the first hole at the file's end. A file system that
/// cannot say counts as yes, and the bounds still hold.
fn is_without_holes(file: &File, bytes: u64) -> bool {
    let first_hole = lseek(file, 0, Whence::SeekHole).and_then(|at| lseek(file, 0, Whence::SeekSet).map(|_| at));
    first_hole.map_or(true, |at| at.unsigned_abs() >= bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_up_to_each_bound_and_not_beyond() {
        let folder = tempfile::tempdir().unwrap();
        // Real bytes, and a model larger than any other file may be.
        for (name, bytes) in [("a.json", 40), ("bundle.json", 30), ("model.json", 50)] {
            fs::write(folder.path().join(name), vec![b'x'; bytes]).unwrap();
        }
        let exact = || Bounds { files: 3, model_bytes: 50, file_bytes: 40, sum_bytes: 120 };
        let whole = Folder::read_within(folder.path(), &exact()).unwrap();
        assert_eq!(whole.0.values().map(Vec::len).sum::<usize>(), 120);
        for (bounds, why) in [
            (Bounds { sum_bytes: 119, ..exact() }, "the files have more than 119 bytes together"),
            (Bounds { files: 2, ..exact() }, "there are more than 2 files"),
            (Bounds { file_bytes: 39, ..exact() }, "a.json has 40 bytes, at most 39 are read"),
            (Bounds { model_bytes: 49, ..exact() }, "model.json has 50 bytes, at most 49 are read"),
        ] {
            let broken = Folder::read_within(folder.path(), &bounds).err().expect("a bound").to_string();
            assert!(broken.contains(why), "{broken}");
        }
    }
}
