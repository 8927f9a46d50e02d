//! The evidence store: put if absent, read back, compare.

use super::{Error, EvidencePath, EvidenceSettings, PutError, ReadError};
use crate::adapters::objects::{StoreTrouble, s3};
use crate::domain::contract::EvidenceRef;
use crate::domain::identity::{Digest, Hasher};
use crate::failpoints::{Injected, failpoint};
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{Error as StoreError, GetResult, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use std::path::Path;
use std::sync::Arc;

/// Result of a successful put. The bytes were read back and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Put {
    pub digest: Digest,
    pub bytes: u64,
    /// False if the same bytes were already stored under this name.
    pub created: bool,
}

#[derive(Clone)]
pub struct EvidenceStore {
    store: Arc<dyn ObjectStore>,
    prefix: ObjectPath,
    url: String,
}

/// Evidence that is read part by part.
pub struct EvidenceParts {
    /// Length of all parts together, in bytes.
    pub bytes: u64,
    pub parts: BoxStream<'static, Result<Bytes, ReadError>>,
}

impl EvidenceStore {
    /// Opens the store. On local disk, creates the folder if it does not exist.
    pub fn open(settings: &EvidenceSettings) -> Result<Self, Error> {
        let unusable = |why: String| Error::Unusable(format!("[evidence] url {:?}: {why}", settings.url));
        let url = settings.url.trim_end_matches('/').to_owned();
        let (store, prefix): (Arc<dyn ObjectStore>, _) = match url.split_once("://") {
            Some(("file", folder)) if folder.starts_with('/') => {
                std::fs::create_dir_all(folder).map_err(|error| unusable(error.to_string()))?;
                let local = LocalFileSystem::new_with_prefix(folder).map_err(|error| unusable(error.to_string()))?;
                (Arc::new(local.with_fsync(true)), ObjectPath::default())
            }
            Some(("s3", rest)) => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                let store = s3(&settings.s3, bucket).map_err(unusable)?;
                (Arc::new(store), ObjectPath::parse(prefix).map_err(|error| unusable(error.to_string()))?)
            }
            Some(_) | None => return Err(unusable("it must start with file:/// or s3://".to_owned())),
        };
        Ok(Self::over(store, prefix, url))
    }

    fn over(store: Arc<dyn ObjectStore>, prefix: ObjectPath, url: String) -> Self {
        Self { store, prefix, url }
    }

    /// Proves that the store is write-once by a second put under the same name, which the store must refuse. Some
    /// services silently ignore the condition, so that a later put would overwrite evidence.
    pub async fn self_test(&self) -> Result<(), Error> {
        let probe = self.probe();
        match self.create(&probe, Bytes::from_static(b"first")).await {
            Ok(()) | Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        match self.create(&probe, Bytes::from_static(b"second")).await {
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(()) => Err(Error::Unusable(format!(
                "{} let a second put overwrite the first; it must support conditional puts (If-None-Match: *)",
                self.url
            ))),
        }
    }

    /// Checks that the store replies and still holds the object that [`Self::self_test`] put.
    pub async fn check(&self) -> Result<(), Error> {
        match self.store.head(&self.probe()).await {
            Ok(_) => Ok(()),
            Err(StoreError::NotFound { .. }) => {
                Err(Error::Unusable(format!("{}: what was put there at the start is gone", self.url)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Marks an unmarked store as this ledger's. Returns an error if the store is marked as another ledger's. Two
    /// ledgers on one store would decide about the same runs side by side.
    pub async fn belong_to(&self, ledger: &str) -> Result<(), Error> {
        let mark = self.prefix.clone().join("_ledger");
        match self.create(&mark, Bytes::copy_from_slice(ledger.as_bytes())).await {
            Ok(()) | Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        self.is_of(ledger).await
    }

    /// Returns an error if the store is marked as another ledger's.
    pub async fn is_of(&self, ledger: &str) -> Result<(), Error> {
        match self.read(&self.prefix.clone().join("_ledger")).await? {
            Some(found) if found == ledger.as_bytes() => Ok(()),
            None => Ok(()),
            Some(found) => Err(Error::Unusable(format!(
                "{}/_ledger names the ledger {:?}, but [ledger] url leads to the ledger {ledger}: mend [ledger] url or \
                 [evidence] url, or adopt the store (the runbook's section \"Two ledgers\" says how)",
                self.url,
                String::from_utf8_lossy(&found[..found.len().min(100)]),
            ))),
        }
    }

    fn probe(&self) -> ObjectPath {
        self.prefix.clone().join("_write_once_probe")
    }

    /// Stores bytes under a free name. If the name is taken, accepts the same bytes. In both cases reads the bytes
    /// back.
    pub async fn put(&self, path: &EvidencePath, bytes: Bytes) -> Result<Put, PutError> {
        let injected = |error: Injected| Error::Unavailable(error.to_string());
        failpoint("put.before").map_err(injected)?;
        let at = self.object(path);
        let expected = Digest::of(&bytes);
        let size = bytes.len() as u64;
        let created = match self.create(&at, bytes).await {
            Ok(()) => true,
            // 409 (two conditional puts at once) and 412 (the name is taken) both mean that bytes are stored under the
            // name.
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => false,
            Err(error) => return Err(Error::from(error).into()),
        };
        let stored = self.read(&at).await?.ok_or_else(|| Error::Unavailable(format!("{path} does not read back")))?;
        let found = Digest::of(&stored);
        if found != expected {
            return Err(PutError::Drift { path: path.clone(), expected, found });
        }
        failpoint("put.after").map_err(injected)?;
        Ok(Put { digest: expected, bytes: size, created })
    }

    pub async fn put_file(&self, path: &EvidencePath, local: &Path) -> Result<Put, PutError> {
        let bytes = tokio::fs::read(local).await.map_err(|error| {
            let why = format!("cannot read {}: {error}", local.display());
            match StoreTrouble::of_io(&error) {
                StoreTrouble::Exhausted => Error::Exhausted(why),
                StoreTrouble::Absent | StoreTrouble::Refused | StoreTrouble::Away | StoreTrouble::Impossible => {
                    Error::Unfit(why)
                }
            }
        })?;
        self.put(path, Bytes::from(bytes)).await
    }

    /// Reads the bytes under a name. `None` if nothing is stored there. Returns an error above `max_bytes`.
    pub async fn find(&self, path: &EvidencePath, max_bytes: u64) -> Result<Option<Bytes>, Error> {
        let bytes = self.read(&self.object(path)).await?;
        match bytes {
            Some(bytes) if bytes.len() as u64 > max_bytes => {
                Err(Error::Unfit(format!("{path} has {} bytes, at most {max_bytes} are read", bytes.len())))
            }
            found => Ok(found),
        }
    }

    /// Reads evidence by its reference, and checks the digest. Returns an error above `max_bytes`.
    pub async fn read_verified(&self, at: &EvidenceRef, max_bytes: u64) -> Result<Bytes, ReadError> {
        let found = self.get(at, max_bytes).await?.bytes().await.map_err(Error::from)?;
        match Digest::of(&found) {
            digest if digest == at.sha256 => Ok(found),
            digest => Err(ReadError::Changed { expected: at.sha256, found: digest }),
        }
    }

    /// Opens evidence by its reference, to be read part by part. Returns an error above `max_bytes`. Reads the evidence
    /// once to check the digest. Checks the digest again while the caller reads: if the bytes have changed, the last
    /// part is followed by an error.
    pub async fn open_verified(&self, at: &EvidenceRef, max_bytes: u64) -> Result<EvidenceParts, ReadError> {
        let checked = verified_parts(self.get(at, max_bytes).await?.into_stream(), at.sha256);
        checked.try_for_each(|_| std::future::ready(Ok(()))).await?;
        let found = self.get(at, max_bytes).await?;
        Ok(EvidenceParts { bytes: found.meta.size, parts: verified_parts(found.into_stream(), at.sha256) })
    }

    async fn get(&self, at: &EvidenceRef, max_bytes: u64) -> Result<GetResult, ReadError> {
        let path = EvidencePath::of(at.reference.split('/')).map_err(|_| ReadError::NoPath)?;
        match self.store.get(&self.object(&path)).await {
            Ok(found) if found.meta.size > max_bytes => Err(ReadError::TooLarge { bytes: found.meta.size, max_bytes }),
            Ok(found) => Ok(found),
            Err(StoreError::NotFound { .. }) => Err(ReadError::Missing),
            Err(error) => Err(Error::from(error).into()),
        }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    fn object(&self, path: &EvidencePath) -> ObjectPath {
        path.as_str().split('/').fold(self.prefix.clone(), object_store::path::Path::join)
    }

    async fn create(&self, at: &ObjectPath, bytes: Bytes) -> Result<(), StoreError> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        self.store.put_opts(at, bytes.into(), options).await.map(|_| ())
    }

    async fn read(&self, at: &ObjectPath) -> Result<Option<Bytes>, Error> {
        match self.store.get(at).await {
            Ok(found) => Ok(Some(found.bytes().await?)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Passes the parts on. If their digest is not `expected`, adds an error after the last part.
fn verified_parts(
    parts: BoxStream<'static, Result<Bytes, StoreError>>,
    expected: Digest,
) -> BoxStream<'static, Result<Bytes, ReadError>> {
    let next = move |(mut parts, mut hasher): (BoxStream<'static, Result<Bytes, StoreError>>, Hasher)| async move {
        if let Some(part) = parts.try_next().await.map_err(Error::from)? {
            hasher.update(&part);
            return Ok(Some((part, (parts, hasher))));
        }
        match hasher.finish() {
            found if found == expected => Ok(None),
            found => Err(ReadError::Changed { expected, found }),
        }
    };
    stream::try_unfold((parts, Hasher::new()), next).boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::objects::S3Settings;
    use object_store::memory::InMemory;

    fn path(name: &str) -> EvidencePath {
        EvidencePath::of(["t", name]).unwrap()
    }

    #[tokio::test]
    async fn a_name_never_changes_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("file://{}", folder.path().display());
        let store = EvidenceStore::open(&EvidenceSettings { url, s3: S3Settings::default() }).unwrap();
        store.self_test().await.unwrap();
        store.self_test().await.unwrap();
        store.belong_to("one").await.unwrap();
        store.belong_to("one").await.unwrap();
        let foreign = store.belong_to("another").await.unwrap_err().to_string();
        assert!(foreign.contains("\"one\"") && foreign.contains("another"), "{foreign}");
        assert!(store.put(&path("a"), Bytes::from_static(b"one")).await.unwrap().created);
        assert!(!store.put(&path("a"), Bytes::from_static(b"one")).await.unwrap().created);
        let drift = store.put(&path("a"), Bytes::from_static(b"two")).await.unwrap_err();
        assert!(matches!(drift, PutError::Drift { .. }), "{drift}");
        assert_eq!(store.find(&path("a"), 10).await.unwrap().unwrap(), "one");
        assert!(store.find(&path("b"), 10).await.unwrap().is_none());
        let named = |name: &str, bytes: &[u8]| EvidenceRef { reference: name.to_owned(), sha256: Digest::of(bytes) };
        assert_eq!(store.read_verified(&named("t/a", b"one"), 3).await.unwrap(), "one");
        assert!(matches!(store.read_verified(&named("t/a", b"two"), 3).await, Err(ReadError::Changed { .. })));
        assert!(matches!(
            store.read_verified(&named("t/a", b"one"), 2).await,
            Err(ReadError::TooLarge { bytes: 3, .. })
        ));
        assert!(matches!(store.read_verified(&named("t/b", b"one"), 3).await, Err(ReadError::Missing)));
        assert!(matches!(store.read_verified(&named("t/../t/a", b"one"), 3).await, Err(ReadError::NoPath)));
    }

    #[tokio::test]
    async fn of_many_writers_of_different_bytes_exactly_one_wins() {
        let store = EvidenceStore::over(Arc::new(InMemory::new()), ObjectPath::default(), "memory".to_owned());
        let path = path("a");
        let puts = (0..8).map(|n| store.put(&path, Bytes::from(vec![n; 1000])));
        let results = futures::future::join_all(puts).await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    }
}
