//! The tables of the configuration, and the files that they name. Most tables are defined in the module that uses them.
//! This file defines the others.

use super::{ConfigError, ServeAt};
use crate::adapters::authority::{AuthoritySettings, Policy, PolicyFile};
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
    /// The file that this was read from. `None` if there was none.
    #[serde(skip)]
    pub file: Option<PathBuf>,
    /// Failpoints for the test suite. A release build has none.
    #[cfg(debug_assertions)]
    #[serde(skip_serializing)]
    pub fault: Option<crate::failpoints::FailpointSettings>,
}

impl Config {
    /// Reads the key that signs bundles. `None` if no key is set and `allow_unsigned` is true.
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

    /// Reads and checks the policy and its public keys. `None` if no policy is configured: then everything is allowed.
    pub fn policy(&self) -> Result<Option<Policy>, ConfigError> {
        let Some(path) = &self.authority.policy else { return Ok(None) };
        Ok(Some(PolicyFile::new(path.clone()).read()?))
    }

    /// Reads and checks the ownership boundaries. Without a configured file, returns those embedded in the program.
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
    /// Address of the health checks. Also of metrics and console, unless `metrics` and `console` say otherwise.
    pub http: SocketAddr,
    pub metrics: ServeAt,
    pub console: ServeAt,
    /// Host names, separated by commas, by which this worker may be asked. `localhost` and IP addresses are always
    /// allowed.
    pub hosts: String,
    pub log_format: LogFormat,
    /// Filter of `tracing`, for example `info,model_factory=debug`.
    pub log: String,
    /// File with the platform's ownership boundaries. `None` means those embedded in the program.
    pub ownership_boundaries: Option<PathBuf>,
    /// Number of runs that this process works on at one time.
    pub slots: u32,
    /// Seconds that a run may go on after SIGTERM. Then the worker gives the run back.
    pub drain_seconds: u32,
    /// Seconds without a turn after which a loop counts as stuck. `/livez` then returns an error that names the loop.
    pub stall_seconds: NonZeroU32,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            http: SocketAddr::from(([127, 0, 0, 1], 8080)),
            metrics: ServeAt::default(),
            console: ServeAt::default(),
            hosts: String::new(),
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
    /// Folder in which each attempt gets a job folder. The worker removes the job folder after the attempt.
    pub scratch: PathBuf,
    /// Number of threads of a fit. 0 means one for each core that the process may use.
    pub threads: u32,
    /// The five `max_…` are upper bounds on the `limits` of a training profile.
    pub max_wall_seconds: u32,
    pub max_memory_mib: u32,
    pub max_cpu_seconds: u32,
    pub max_file_mib: u32,
    pub max_processes: u32,
    /// Whether registered commands may run on a kernel that cannot confine them with Landlock.
    pub allow_unconfined: bool,
    /// Commands that a training profile may name as `process:<name>`.
    pub commands: TrainerRegistrations,
}

impl TrainerSettings {
    /// Returns the memory that a trainer may use, in MiB: `max_memory_mib`, or less if the machine or the worker's
    /// cgroup, after a reserve for the worker itself, has less.
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
