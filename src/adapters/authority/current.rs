//! The policy in force, and the file that it is read from.

use super::{InvalidPolicy, Policy};
use crate::secret::check_unwritable;
use std::cell::RefCell;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

/// The policy in force. Clones share it. Without a policy everybody may ask for everything.
#[derive(Debug, Clone, Default)]
pub struct CurrentPolicy(Arc<RwLock<Option<Arc<Policy>>>>);

impl CurrentPolicy {
    /// Returns the policy in force. Whoever decides in several steps takes it once.
    pub fn now(&self) -> Option<Arc<Policy>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn replace(&self, policy: Policy) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(policy));
    }
}

impl From<Option<Policy>> for CurrentPolicy {
    fn from(policy: Option<Policy>) -> Self {
        Self(Arc::new(RwLock::new(policy.map(Arc::new))))
    }
}

#[derive(Debug, thiserror::Error)]
pub enum PolicyFileError {
    #[error("cannot read {path}: {error}")]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{path}: {error}")]
    Invalid { path: PathBuf, error: InvalidPolicy },
    #[error("{0}")]
    Loose(String),
}

/// The file of the policy, with the files of its keys.
#[derive(Debug, Clone)]
pub struct PolicyFile {
    path: PathBuf,
    /// The key files that the policy named when it was read last.
    keys: Vec<PathBuf>,
}

/// What changes when the policy or one of its keys is written, replaced or given another mode. `None` for a file that is
/// not there.
pub type Stamps = Vec<Option<FileStamp>>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStamp {
    device: u64,
    inode: u64,
    mode: u32,
    bytes: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
}

impl PolicyFile {
    pub fn new(path: PathBuf) -> Self {
        Self { path, keys: Vec::new() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key files that the policy named when it was read last. Empty if it was never read.
    pub fn keys(&self) -> &[PathBuf] {
        &self.keys
    }

    /// Checks that nobody but owner and group may write the policy, or a key that it named when it was read last.
    pub fn check_modes(&self) -> Result<(), String> {
        std::iter::once(&self.path).chain(&self.keys).try_for_each(|file| check_unwritable(file))
    }

    /// Reads and checks the policy and its public keys.
    pub fn read(&mut self) -> Result<Policy, PolicyFileError> {
        let bytes = std::fs::read(&self.path)
            .map_err(|error| PolicyFileError::Unreadable { path: self.path.clone(), error })?;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let keys = RefCell::new(Vec::new());
        let key_file = |name: &str| {
            let path = folder.join(name);
            let text = std::fs::read_to_string(&path).map_err(|error| format!("cannot read {name:?}: {error}"));
            keys.borrow_mut().push(path);
            text
        };
        let policy = Policy::read(&bytes, key_file);
        self.keys = keys.into_inner();
        policy.map_err(|error| PolicyFileError::Invalid { path: self.path.clone(), error })
    }

    pub fn stamps(&self) -> Stamps {
        let stamp = |path: &PathBuf| {
            let data = std::fs::metadata(path).ok()?;
            Some(FileStamp {
                device: data.dev(),
                inode: data.ino(),
                mode: data.mode(),
                bytes: data.size(),
                modified: (data.mtime(), data.mtime_nsec()),
            })
        };
        std::iter::once(&self.path).chain(&self.keys).map(stamp).collect()
    }
}
