//! Configuration: one validated value from file, environment and flags. No other code reads the environment.
//!
//! `model-factory.toml` holds sections. Both `MODEL_FACTORY_KAFKA__BROKERS` and `--set kafka.brokers=…` set `brokers`
//! of `[kafka]`. An empty variable is ignored. Unknown keys are errors, and all errors are reported at once. Never:
//! prints a secret.

mod check;
mod commands;
mod known;
mod layers;
mod modes;
mod sections;
mod serve_at;
mod show;
#[cfg(test)]
mod tests;

pub use layers::Loaded;
pub use modes::LooseFile;
pub use sections::{Config, TrainerSettings, WorkerSettings};
pub use serve_at::ServeAt;
pub use show::ShownSetting;

use crate::adapters::authority::PolicyFileError;
use crate::adapters::signing::KeyError;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Default,
    File(PathBuf),
    /// An environment variable. Holds its name.
    Variable(String),
    /// A flag of the command line. Holds its name.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What is wrong with the configuration, or with a file that it names.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path}: {error}")]
    Unreadable { path: PathBuf, error: std::io::Error },
    /// Every key that does not exist, and every value of the wrong type or out of bounds.
    #[error("{}", listed(.0))]
    Faults(Vec<InvalidSetting>),
    /// No signing key is configured, and `allow_unsigned` is false.
    #[error("bundles must be signed: set [signing] key_file or key, or allow_unsigned = true")]
    Unsigned,
    #[error("[signing]: {0}")]
    Key(#[from] KeyError),
    #[error("[authority] {0}")]
    Policy(#[from] PolicyFileError),
    /// The ownership boundaries do not give Model Factory the outputs that it writes.
    #[error("OWNERSHIP_BOUNDARY_VIOLATION: {0}")]
    Ownership(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidSetting {
    /// The key's dotted path. Empty if the error is about the whole file.
    pub key: String,
    pub origin: Origin,
    /// What is wrong, and how to mend it.
    pub message: String,
}

fn listed(faults: &[InvalidSetting]) -> String {
    let lines = faults.iter().map(|InvalidSetting { key, origin, message }| match key.as_str() {
        "" => format!("\n  {origin}: {message}"),
        key => format!("\n  {key} ({origin}): {message}"),
    });
    let count = if faults.len() == 1 { "a fault".to_owned() } else { format!("{} faults", faults.len()) };
    format!("{count} in the configuration:{}", lines.collect::<String>())
}
