//! Opens references.

use super::Links;
use crate::adapters::objects::{self, AzureSettings, GcsSettings, S3Settings, Services};
use crate::domain::contract::{AllowList, Location, Reference};
use crate::domain::identity::{Digest, Hasher};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use nix::fcntl::OFlag;
use object_store::path::Path as ObjectPath;
use object_store::{Error, ObjectStoreExt};
use serde::{Deserialize, Serialize};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// What may be read.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct InputSettings {
    /// Folder that relative references start from; without it they are refused.
    pub root: Option<PathBuf>,
    /// Prefixes that may be opened: `file:///data`, `s3://bucket/prefix`, `gs://…`, `az://…`.
    pub allow: Vec<String>,
    /// Largest manifest or profile.
    pub max_document_bytes: u64,
    /// How the S3 service is reached.
    pub s3: S3Settings,
    /// How Google Cloud Storage is reached.
    pub gcs: GcsSettings,
    /// How Azure Blob Storage is reached.
    pub azure: AzureSettings,
}

impl Default for InputSettings {
    fn default() -> Self {
        Self {
            root: None,
            allow: Vec::new(),
            max_document_bytes: 4 * 1024 * 1024,
            s3: S3Settings::default(),
            gcs: GcsSettings::default(),
            azure: AzureSettings::default(),
        }
    }
}

/// Why a reference could not be read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// Outside the allow-list, after following links.
    #[error("{reference} may not be opened: {why}")]
    NotAllowed {
        /// The reference.
        reference: String,
        /// Why.
        why: String,
    },
    /// Nothing there, or not a regular file.
    #[error("{reference} was not found")]
    NotFound {
        /// The reference.
        reference: String,
    },
    /// The place could not be asked.
    #[error("{reference} could not be read: {why}")]
    Unavailable {
        /// The reference.
        reference: String,
        /// Why.
        why: String,
    },
    /// Larger than allowed.
    #[error("{reference} has more than {limit} bytes")]
    TooLarge {
        /// The reference.
        reference: String,
        /// Bytes at the most.
        limit: u64,
    },
    /// Not the bytes that the manifest pins.
    #[error("{reference}: expected {expected}, found {found}")]
    DigestMismatch {
        /// The reference.
        reference: String,
        /// What pins it.
        expected: String,
        /// What was read.
        found: String,
    },
}

/// Reads references inside an allow-list.
#[derive(Debug, Clone)]
pub struct Inputs {
    settings: InputSettings,
    allow: AllowList,
    /// Real paths of the allowed folders on local disk.
    folders: Vec<PathBuf>,
}

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub enum InputSettingsError {
    /// A folder that does not exist, or cannot be entered.
    #[error("[inputs] {key}: {folder} cannot be used: {error}")]
    Folder {
        /// Which setting.
        key: &'static str,
        /// The folder.
        folder: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A prefix that is none, or that this build cannot read.
    #[error("[inputs] allow: {0}")]
    Prefix(String),
}

type Chunks = BoxStream<'static, Result<Bytes, String>>;

impl Inputs {
    /// Resolves the allowed folders once.
    pub fn open(settings: &InputSettings) -> Result<Self, InputSettingsError> {
        let real = |key: &'static str, folder: &Path| {
            folder.canonicalize().map_err(|error| InputSettingsError::Folder { key, folder: folder.to_owned(), error })
        };
        let allow = AllowList::read(&settings.allow, settings.root.is_some())
            .map_err(|error| InputSettingsError::Prefix(error.to_string()))?;
        let mut folders = Vec::new();
        if let Some(root) = &settings.root {
            folders.push(real("root", root)?);
        }
        for prefix in &settings.allow {
            match prefix.split_once("://") {
                Some(("file", folder)) => folders.push(real("allow", Path::new(folder))?),
                Some((scheme, _)) => objects::is_built_in(scheme).map_err(InputSettingsError::Prefix)?,
                None => {}
            }
        }
        Ok(Self { settings: settings.clone(), allow, folders })
    }

    /// Where relative references start, where they may.
    pub fn root(&self) -> Option<&Path> {
        self.settings.root.as_deref()
    }

    /// The list, for intake: a reference outside it is refused before it waits in the queue.
    pub fn allow_list(&self) -> AllowList {
        self.allow.clone()
    }

    /// The folders, for intake: so is a reference that leaves them through a link.
    pub fn links(&self) -> Links {
        Links { root: self.settings.root.clone(), folders: self.folders.clone() }
    }

    /// A manifest or profile, with the digest of its bytes.
    pub async fn document(&self, reference: &Reference) -> Result<(Bytes, Digest), InputError> {
        let limit = self.settings.max_document_bytes;
        let mut chunks = self.stream(reference).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = chunks.next().await {
            bytes.extend_from_slice(&chunk.map_err(|why| unavailable(reference, why))?);
            if bytes.len() as u64 > limit {
                return Err(InputError::TooLarge { reference: reference.to_string(), limit });
            }
        }
        let digest = Digest::of(&bytes);
        Ok((Bytes::from(bytes), digest))
    }

    /// Copies a data file to `into`, hashing as it streams. Size and digest must be the pinned ones.
    pub async fn file(&self, reference: &Reference, sha256: Digest, bytes: u64, into: &Path) -> Result<(), InputError> {
        let scratch = |error: std::io::Error| unavailable(reference, format!("scratch folder: {error}"));
        let mut chunks = self.stream(reference).await?;
        let mut file = tokio::fs::File::create_new(into).await.map_err(scratch)?;
        let mut hasher = Hasher::new();
        let mut size = 0;
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|why| unavailable(reference, why))?;
            size += chunk.len() as u64;
            if size > bytes {
                break;
            }
            hasher.update(&chunk);
            file.write_all(&chunk).await.map_err(scratch)?;
        }
        file.flush().await.map_err(scratch)?;
        let mismatch = |expected: String, found: String| {
            Err(InputError::DigestMismatch { reference: reference.to_string(), expected, found })
        };
        if size > bytes {
            return mismatch(format!("{bytes} bytes"), "more".to_owned());
        }
        if size != bytes {
            return mismatch(format!("{bytes} bytes"), format!("{size} bytes"));
        }
        let found = hasher.finish();
        if found != sha256 {
            return mismatch(format!("sha256 {sha256}"), format!("sha256 {found}"));
        }
        Ok(())
    }

    async fn stream(&self, reference: &Reference) -> Result<Chunks, InputError> {
        if !self.allow.allows(reference) {
            let why = "it is outside the allow-list ([inputs] allow)".to_owned();
            return Err(InputError::NotAllowed { reference: reference.to_string(), why });
        }
        match reference.location() {
            Location::Relative(path) => match &self.settings.root {
                Some(root) => self.local(reference, &root.join(path)).await,
                None => Err(not_allowed(reference, "no root is configured ([inputs] root)")),
            },
            Location::File(path) => self.local(reference, Path::new(path)).await,
            Location::Object { scheme, bucket, key } => self.object(reference, scheme, bucket, key).await,
        }
    }

    /// Takes hold of the file first (`O_PATH`, which reads nothing and waits for nobody), then asks where it
    /// really is, and opens for reading what is held: a link that changes in between cannot lead anywhere
    /// that was not checked, and nothing outside is ever opened.
    async fn local(&self, reference: &Reference, path: &Path) -> Result<Chunks, InputError> {
        let (path, folders, name) = (path.to_owned(), self.folders.clone(), reference.clone());
        let opened = tokio::task::spawn_blocking(move || {
            let held = std::fs::OpenOptions::new()
                .read(true)
                .custom_flags((OFlag::O_PATH | OFlag::O_CLOEXEC).bits())
                .open(&path)
                .map_err(|error| match error.kind() {
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
                        InputError::NotFound { reference: name.to_string() }
                    }
                    _ => unavailable(&name, error.to_string()),
                })?;
            let failed = |error: std::io::Error| unavailable(&name, error.to_string());
            let held_at = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&held));
            let real = std::fs::read_link(&held_at).map_err(failed)?;
            if !folders.iter().any(|folder| real.starts_with(folder)) {
                return Err(not_allowed(&name, "it leads out of the allowed folders"));
            }
            if !held.metadata().map_err(failed)?.is_file() {
                return Err(not_allowed(&name, "it is not a regular file"));
            }
            std::fs::File::open(held_at).map_err(failed)
        })
        .await
        .map_err(|error| unavailable(reference, error.to_string()))??;
        let file = tokio::fs::File::from_std(opened);
        let chunks = futures::stream::unfold(Some(file), |file| async move {
            const CHUNK: usize = 256 * 1024;
            let mut file = file?;
            let mut buffer = vec![0; CHUNK];
            match file.read(&mut buffer).await {
                Ok(0) => None,
                Ok(read) => {
                    buffer.truncate(read);
                    Some((Ok(Bytes::from(buffer)), Some(file)))
                }
                Err(error) => Some((Err(error.to_string()), None)),
            }
        });
        Ok(chunks.boxed())
    }

    async fn object(&self, reference: &Reference, scheme: &str, bucket: &str, key: &str) -> Result<Chunks, InputError> {
        let InputSettings { s3, gcs, azure, .. } = &self.settings;
        let store =
            objects::open(Services { s3, gcs, azure }, scheme, bucket).map_err(|why| unavailable(reference, why))?;
        let at = ObjectPath::parse(key).map_err(|error| not_allowed(reference, &error.to_string()))?;
        match store.get(&at).await {
            Ok(found) => Ok(found.into_stream().map(|chunk| chunk.map_err(|error| error.to_string())).boxed()),
            Err(Error::NotFound { .. }) => Err(InputError::NotFound { reference: reference.to_string() }),
            Err(error) => Err(unavailable(reference, error.to_string())),
        }
    }
}

fn unavailable(reference: &Reference, why: String) -> InputError {
    InputError::Unavailable { reference: reference.to_string(), why }
}

fn not_allowed(reference: &Reference, why: &str) -> InputError {
    InputError::NotAllowed { reference: reference.to_string(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        _folder: tempfile::TempDir,
        base: PathBuf,
        inputs: Inputs,
    }

    fn place() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        std::fs::create_dir(base.join("in")).unwrap();
        std::fs::write(base.join("in/a.json"), b"{}").unwrap();
        std::fs::write(base.join("secret"), b"secret").unwrap();
        let settings =
            InputSettings { root: Some(base.join("in")), max_document_bytes: 10, ..InputSettings::default() };
        Place { inputs: Inputs::open(&settings).unwrap(), _folder: folder, base }
    }

    async fn read(place: &Place, text: &str) -> Result<Bytes, InputError> {
        place.inputs.document(&Reference::parse(text).unwrap()).await.map(|(bytes, _)| bytes)
    }

    #[tokio::test]
    async fn a_file_inside_the_root_is_read_and_one_outside_is_not() {
        let place = place();
        assert_eq!(read(&place, "a.json").await.unwrap(), "{}");
        let outside = format!("file://{}/secret", place.base.display());
        assert!(matches!(read(&place, &outside).await, Err(InputError::NotAllowed { .. })));
        assert!(matches!(read(&place, "b.json").await, Err(InputError::NotFound { .. })));
    }

    #[tokio::test]
    async fn links_that_lead_out_pipes_and_folders_are_refused() {
        let place = place();
        std::os::unix::fs::symlink(place.base.join("secret"), place.base.join("in/link")).unwrap();
        std::os::unix::fs::symlink(&place.base, place.base.join("in/up")).unwrap();
        nix::unistd::mkfifo(&place.base.join("in/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::fs::create_dir(place.base.join("in/folder")).unwrap();
        for name in ["link", "up/secret", "pipe", "folder"] {
            assert!(matches!(read(&place, name).await, Err(InputError::NotAllowed { .. })), "{name}");
        }
    }

    #[tokio::test]
    async fn size_and_digest_are_checked_on_the_bytes_that_are_used() {
        let place = place();
        std::fs::write(place.base.join("in/big.json"), [b' '; 11]).unwrap();
        assert!(matches!(read(&place, "big.json").await, Err(InputError::TooLarge { .. })));
        let reference = Reference::parse("a.json").unwrap();
        let good = Digest::of(b"{}");
        let cases = [(good, 2, true), (good, 3, false), (good, 1, false), (Digest::of(b"x"), 2, false)];
        for (index, (digest, bytes, fits)) in cases.into_iter().enumerate() {
            let into = place.base.join(format!("copy{index}"));
            let outcome = place.inputs.file(&reference, digest, bytes, &into).await;
            assert_eq!(outcome.is_ok(), fits, "{outcome:?}");
        }
    }
}
