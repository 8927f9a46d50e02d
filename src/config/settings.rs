//! The tables of the configuration, and the files that they name. Each room that uses a table defines its fields and
//! defaults; the rest stand here.

use super::ConfigError;
use crate::adapters::authority::{AuthoritySettings, Policy};
use crate::adapters::dataset::InputSettings;
use crate::adapters::evidence::EvidenceSettings;
use crate::adapters::kafka::KafkaSettings;
use crate::adapters::ledger::{LedgerSettings, PublishSettings};
use crate::adapters::signing::{PrivateKey, SigningSettings};
use crate::domain::contract::OwnershipBoundaries;
use crate::modelling::lineage::LineageSettings;
use crate::telemetry::{LogFormat, TelemetrySettings};
use crate::training::{self, TrainerRegistrations};
use serde::{Deserialize, Serialize};
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub worker: WorkerSettings,
    pub kafka: KafkaSettings,
    pub ledger: LedgerSettings,
    pub publish: PublishSettings,
    pub lineage: LineageSettings,
    pub evidence: EvidenceSettings,
    pub inputs: InputSettings,
    pub trainer: TrainerSettings,
    pub signing: SigningSettings,
    pub authority: AuthoritySettings,
    pub telemetry: TelemetrySettings,
    /// For the test suite; a release does not have it.
    #[cfg(debug_assertions)]
    #[serde(skip_serializing)]
    pub fault: Option<crate::failpoints::FailpointSettings>,
}

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

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerSettings {
    /// Address of health checks, metrics and the console.
    pub http: SocketAddr,
    pub log_format: LogFormat,
    /// Filter of `tracing`, for example `info,model_factory=debug`.
    pub log: String,
    /// File with the platform's ownership boundaries; without it, those that ship with the binary count.
    pub ownership_boundaries: Option<PathBuf>,
    /// Runs that this process works on at one time.
    pub slots: u32,
    /// How long a run may go on after SIGTERM before the worker gives it back.
    pub drain_seconds: u32,
    /// A loop that has not turned for so long is stuck; `/livez` then fails and names it.
    pub stall_seconds: NonZeroU32,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            http: SocketAddr::from(([127, 0, 0, 1], 8080)),
            log_format: LogFormat::Pretty,
            log: "info".to_owned(),
            ownership_boundaries: None,
            slots: 1,
            drain_seconds: 10,
            stall_seconds: NonZeroU32::new(120).expect("it is not zero"),
        }
    }
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainerSettings {
    /// Folder for job folders, which are removed after each attempt.
    pub scratch: PathBuf,
    /// Threads of a fit; 0 is every core.
    pub threads: u32,
    /// `max_…` are upper bounds on a profile's `limits`.
    pub max_wall_seconds: u32,
    pub max_memory_mib: u32,
    pub max_cpu_seconds: u32,
    pub max_file_mib: u32,
    pub max_processes: u32,
    /// Whether registered commands may run where the kernel cannot confine them.
    pub allow_unconfined: bool,
    /// Commands that a training profile may name as `process:<name>`.
    pub commands: TrainerRegistrations,
}

impl TrainerSettings {
    /// Memory that a trainer may take: `max_memory_mib`, or the machine's memory where that is less.
    pub fn memory_mib(&self) -> u32 {
        self.max_memory_mib.min(training::available_memory_mib().unwrap_or(u32::MAX))
    }
}

impl Default for TrainerSettings {
    fn default() -> Self {
        Self {
            scratch: PathBuf::from("scratch"),
            threads: 0,
            max_wall_seconds: 14_400,
            max_memory_mib: 16_384,
            max_cpu_seconds: 230_400,
            max_file_mib: 16_384,
            max_processes: 256,
            allow_unconfined: false,
            commands: TrainerRegistrations::new(),
        }
    }
}

fn unreadable(path: &Path, error: io::Error) -> ConfigError {
    ConfigError::Unreadable { path: path.to_owned(), error }
}
