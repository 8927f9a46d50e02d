//! What is wrong with the configuration, or with a file that it names.

use super::Origin;
use crate::adapters::authority::InvalidPolicy;
use crate::adapters::signing::KeyError;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path}: {error}")]
    Unreadable { path: PathBuf, error: std::io::Error },
    /// Every key that does not exist, and every value that is not possible.
    #[error("{}", listed(.0))]
    Faults(Vec<InvalidSetting>),
    /// There is no signing key, and unsigned bundles are not allowed.
    #[error("bundles must be signed: set [signing] key_file or key, or allow_unsigned = true")]
    Unsigned,
    #[error("[signing]: {0}")]
    Key(#[from] KeyError),
    #[error("[authority] {path}: {error}")]
    Policy { path: PathBuf, error: InvalidPolicy },
    /// The ownership boundaries do not give Model Factory its outputs.
    #[error("OWNERSHIP_BOUNDARY_VIOLATION: {0}")]
    Ownership(String),
}

/// One fault of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidSetting {
    /// The key's path; empty where the whole file is wrong.
    pub key: String,
    pub origin: Origin,
    /// What is wrong, and what is right instead.
    pub message: String,
}

impl InvalidSetting {
    pub(super) fn new(key: &str, origin: &Origin, message: String) -> Self {
        Self { key: key.to_owned(), origin: origin.clone(), message }
    }
}

fn listed(faults: &[InvalidSetting]) -> String {
    let lines = faults.iter().map(|InvalidSetting { key, origin, message }| match key.as_str() {
        "" => format!("\n  {origin}: {message}"),
        key => format!("\n  {key} ({origin}): {message}"),
    });
    let count = if faults.len() == 1 { "a fault".to_owned() } else { format!("{} faults", faults.len()) };
    format!("{count} in the configuration:{}", lines.collect::<String>())
}
