//! The files that the configuration names: signing key, policy, ownership boundaries.

use super::{Config, ConfigError};
use crate::adapters::authority::Policy;
use crate::adapters::signing::{PrivateKey, SigningSettings};
use crate::domain::contract::OwnershipBoundaries;
use std::io;
use std::path::Path;

impl Config {
    /// The key that signs bundles; none only where unsigned bundles are allowed.
    pub fn signing_key(&self) -> Result<Option<PrivateKey>, ConfigError> {
        let SigningSettings { key_file, key, allow_unsigned } = &self.signing;
        let pem = match (key_file, key) {
            (_, Some(key)) => key.reveal().to_owned(),
            (Some(path), None) => std::fs::read_to_string(path).map_err(|error| unreadable(path, error))?,
            (None, None) if *allow_unsigned => return Ok(None),
            (None, None) => return Err(ConfigError::Unsigned),
        };
        Ok(Some(PrivateKey::from_pem(&pem)?))
    }

    /// The policy with its keys, checked; none where everybody may ask for everything.
    pub fn policy(&self) -> Result<Option<Policy>, ConfigError> {
        let Some(path) = &self.authority.policy else { return Ok(None) };
        let bytes = std::fs::read(path).map_err(|error| unreadable(path, error))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let key_file = |name: &str| {
            std::fs::read_to_string(folder.join(name)).map_err(|error| format!("cannot read {name:?}: {error}"))
        };
        let policy = Policy::read(&bytes, key_file);
        policy.map(Some).map_err(|error| ConfigError::Policy { path: path.clone(), error })
    }

    /// The ownership boundaries, checked. A worker admits nothing without them.
    pub fn ownership_boundaries(&self) -> Result<OwnershipBoundaries, ConfigError> {
        let Some(path) = &self.worker.ownership_boundaries else {
            return Ok(OwnershipBoundaries::shipped());
        };
        let bytes = std::fs::read(path).map_err(|error| unreadable(path, error))?;
        OwnershipBoundaries::read(&bytes).map_err(|error| ConfigError::Ownership(error.to_string()))
    }
}

fn unreadable(path: &Path, error: io::Error) -> ConfigError {
    ConfigError::Unreadable { path: path.to_owned(), error }
}
