//! Opens references that the allow-list allows. Copies a data file and checks the digest of the copy.

use super::local::{Folders, follow, open_inside};
use super::{InputError, InputSettings, InputSettingsError, Links};
use crate::adapters::objects::{self, Services};
use crate::domain::contract::{AllowList, Location, Reference};
use crate::domain::identity::{Digest, Hasher};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use object_store::path::Path as ObjectPath;
use object_store::{Error as StoreError, ObjectStoreExt};
use std::path::{Path, PathBuf};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[derive(Debug, Clone)]
pub struct Inputs {
    pub(super) settings: InputSettings,
    allow: AllowList,
    folders: Folders,
}

pub(super) type Chunks = BoxStream<'static, Result<Bytes, StoreError>>;

impl Inputs {
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
        Ok(Self { settings: settings.clone(), allow, folders: Folders { allowed: folders, within: None } })
    }

    /// Returns inputs for a run that may read only these references and prefixes. Whoever opens a reference has checked
    /// its text already; here local files must lie under one of these prefixes after their links are followed, too.
    #[must_use]
    pub fn within<'p>(&self, prefixes: impl IntoIterator<Item = &'p str>) -> Self {
        let path = |prefix| match Location::of_local_prefix(prefix)? {
            Location::Relative(path) => Some(self.settings.root.as_ref()?.join(path)),
            Location::File(path) => Some(PathBuf::from(path)),
            Location::Object { .. } => None,
        };
        let within = prefixes.into_iter().filter_map(path).filter_map(|path| follow(&path).ok()).collect();
        let folders = Folders { within: Some(within), ..self.folders.clone() };
        Self { folders, ..self.clone() }
    }

    /// Returns the folder at which relative references start. `None` if relative references are refused.
    pub fn root(&self) -> Option<&Path> {
        self.settings.root.as_deref()
    }

    /// Returns the allow-list. Intake refuses a reference outside this list before the run is queued.
    pub fn allow_list(&self) -> AllowList {
        self.allow.clone()
    }

    /// Returns a check for symbolic links. With this, intake refuses a reference that leaves the allowed folders by a
    /// link.
    pub fn links(&self) -> Links {
        Links { root: self.settings.root.clone(), folders: self.folders.clone() }
    }

    /// Copies a data file to `into` while hashing it. Returns an error if size or digest differs from the manifest.
    pub async fn file(&self, reference: &Reference, sha256: Digest, bytes: u64, into: &Path) -> Result<(), InputError> {
        let scratch = |error: std::io::Error| InputError::unwritten(reference, &error);
        let mut chunks = self.stream(reference).await?;
        let mut file = tokio::fs::File::create_new(into).await.map_err(scratch)?;
        let mut hasher = Hasher::new();
        let mut size = 0;
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| InputError::unreadable(reference, error))?;
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

    pub(super) async fn stream(&self, reference: &Reference) -> Result<Chunks, InputError> {
        if !self.allow.allows(reference) {
            return Err(InputError::not_allowed(reference, "it is outside the allow-list ([inputs] allow)"));
        }
        match reference.location() {
            Location::Relative(path) => match &self.settings.root {
                Some(root) => self.local(reference, root.join(path)).await,
                None => Err(InputError::not_allowed(reference, "no root is configured ([inputs] root)")),
            },
            Location::File(path) => self.local(reference, PathBuf::from(path)).await,
            Location::Object { scheme, bucket, key } => self.object(reference, scheme, bucket, key).await,
        }
    }

    async fn local(&self, reference: &Reference, path: PathBuf) -> Result<Chunks, InputError> {
        let (folders, name) = (self.folders.clone(), reference.clone());
        let opened = tokio::task::spawn_blocking(move || open_inside(&folders, &path, &name))
            .await
            .map_err(|error| InputError::unreadable(reference, error))??;
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
                Err(error) => Some((Err(StoreError::Generic { store: "file", source: Box::new(error) }), None)),
            }
        });
        Ok(chunks.boxed())
    }

    async fn object(&self, reference: &Reference, scheme: &str, bucket: &str, key: &str) -> Result<Chunks, InputError> {
        let InputSettings { s3, gcs, azure, .. } = &self.settings;
        let store = objects::open(Services { s3, gcs, azure }, scheme, bucket)
            .map_err(|why| InputError::Unavailable { reference: reference.to_string(), why })?;
        let at = ObjectPath::parse(key).map_err(|error| InputError::not_allowed(reference, &error.to_string()))?;
        match store.get(&at).await {
            Ok(found) => Ok(found.into_stream().boxed()),
            Err(StoreError::NotFound { .. }) => Err(InputError::not_found(reference)),
            Err(error) => Err(InputError::unreadable(reference, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct TestFolder {
        _folder: tempfile::TempDir,
        base: PathBuf,
        inputs: Inputs,
    }

    fn test_folder() -> TestFolder {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        std::fs::create_dir(base.join("in")).unwrap();
        std::fs::write(base.join("in/a.json"), b"{}").unwrap();
        std::fs::write(base.join("secret"), b"secret").unwrap();
        let settings =
            InputSettings { root: Some(base.join("in")), max_document_bytes: 10, ..InputSettings::default() };
        TestFolder { inputs: Inputs::open(&settings).unwrap(), _folder: folder, base }
    }

    async fn read(folder: &TestFolder, text: &str) -> Result<Bytes, InputError> {
        folder.inputs.documents().read(&Reference::parse(text).unwrap()).await.map(|(bytes, _)| bytes)
    }

    #[tokio::test]
    async fn a_file_inside_the_root_is_read_and_one_outside_is_not() {
        let folder = test_folder();
        assert_eq!(read(&folder, "a.json").await.unwrap(), "{}");
        let outside = format!("file://{}/secret", folder.base.display());
        assert!(matches!(read(&folder, &outside).await, Err(InputError::NotAllowed { .. })));
        assert!(matches!(read(&folder, "b.json").await, Err(InputError::NotFound { .. })));
    }

    #[tokio::test]
    async fn links_that_lead_out_pipes_and_folders_are_refused() {
        let folder = test_folder();
        std::os::unix::fs::symlink(folder.base.join("secret"), folder.base.join("in/link")).unwrap();
        std::os::unix::fs::symlink(&folder.base, folder.base.join("in/up")).unwrap();
        nix::unistd::mkfifo(&folder.base.join("in/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::fs::create_dir(folder.base.join("in/folder")).unwrap();
        for name in ["link", "up/secret", "pipe", "folder"] {
            assert!(matches!(read(&folder, name).await, Err(InputError::NotAllowed { .. })), "{name}");
        }
    }

    #[tokio::test]
    async fn a_run_that_may_read_one_place_is_led_to_no_other_and_does_not_learn_what_is_there() {
        let mut folder = test_folder();
        let inside = folder.base.join("in");
        for tenant in ["b", "c"] {
            std::fs::create_dir(inside.join(tenant)).unwrap();
            std::fs::write(inside.join(tenant).join("own.json"), tenant).unwrap();
        }
        std::os::unix::fs::symlink("../c", inside.join("b/other")).unwrap();
        std::os::unix::fs::symlink("own.json", inside.join("b/same.json")).unwrap();
        assert_eq!(read(&folder, "b/other/own.json").await.unwrap(), "c", "the operator allows both");
        folder.inputs = folder.inputs.within(["b", "later", "s3://bucket/b"]);
        assert_eq!(read(&folder, "b/same.json").await.unwrap(), "b");
        for name in ["b/other/own.json", "b/other/not.json"] {
            let refused = read(&folder, name).await.unwrap_err().to_string();
            assert_eq!(refused, format!("{name} may not be opened: it leads out of the allowed folders"));
        }
        assert!(matches!(read(&folder, "b/missing.json").await, Err(InputError::NotFound { .. })));
        assert!(matches!(read(&folder, "later/m.json").await, Err(InputError::NotFound { .. })));
    }

    #[tokio::test]
    async fn size_and_digest_are_checked_on_the_bytes_that_are_used() {
        let folder = test_folder();
        std::fs::write(folder.base.join("in/big.json"), [b' '; 11]).unwrap();
        assert!(matches!(read(&folder, "big.json").await, Err(InputError::TooLarge { .. })));
        let reference = Reference::parse("a.json").unwrap();
        let good = Digest::of(b"{}");
        let cases = [(good, 2, true), (good, 3, false), (good, 1, false), (Digest::of(b"x"), 2, false)];
        for (index, (digest, bytes, fits)) in cases.into_iter().enumerate() {
            let into = folder.base.join(format!("copy{index}"));
            let outcome = folder.inputs.file(&reference, digest, bytes, &into).await;
            assert_eq!(outcome.is_ok(), fits, "{outcome:?}");
        }
    }
}
