//! Configuration: file < environment < flags, one validated value. The only reader of the environment.
//!
//! `model-factory.toml` holds sections; `MODEL_FACTORY_KAFKA__BROKERS` sets `brokers` of `[kafka]`, and so does
//! `--set kafka.brokers=…`; an empty variable is as good as none. Unknown keys are errors, and all faults are told
//! at once. Never: prints a secret.

mod check;
mod known;
mod layers;
mod loaded;
mod show;

pub use layers::Origin;
pub use loaded::Loaded;
pub use show::Shown;

use crate::adapters::authority::{AuthoritySettings, Policy, PolicyFaults};
use crate::adapters::dataset::InputSettings;
use crate::adapters::evidence::EvidenceSettings;
use crate::adapters::kafka::KafkaSettings;
use crate::adapters::ledger::{LedgerSettings, PublishSettings};
use crate::adapters::signing::{KeyError, PrivateKey, SigningSettings};
use crate::domain::contract::OwnershipBoundaries;
use crate::modelling::lineage::LineageSettings;
use crate::telemetry::{LogFormat, TelemetrySettings};
use crate::training::{self, TrainerRegistrations};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

/// Every setting of a worker.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The process itself.
    pub worker: WorkerSettings,
    /// Broker, group and topics.
    pub kafka: KafkaSettings,
    /// Postgres.
    pub ledger: LedgerSettings,
    /// When a run is PUBLISHED.
    pub publish: PublishSettings,
    /// What OpenLineage is told.
    pub lineage: LineageSettings,
    /// Where evidence goes.
    pub evidence: EvidenceSettings,
    /// What may be read.
    pub inputs: InputSettings,
    /// The trainer's child process.
    pub trainer: TrainerSettings,
    /// Whether and with what bundles are signed.
    pub signing: SigningSettings,
    /// Who may ask for what.
    pub authority: AuthoritySettings,
    /// Where traces go.
    pub telemetry: TelemetrySettings,
    /// For the test suite; not in a release.
    #[cfg(debug_assertions)]
    #[serde(skip_serializing)]
    pub fault: Option<crate::failpoints::FailpointSettings>,
}

/// The process itself.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerSettings {
    /// Address of health checks, metrics and the console.
    pub http: SocketAddr,
    /// `pretty` or `json`.
    pub log_format: LogFormat,
    /// Filter of `tracing`, for example `info,model_factory=debug`.
    pub log: String,
    /// The platform's ownership boundaries; without it the ones that ship with the binary.
    pub ownership_boundaries: Option<PathBuf>,
    /// Runs that this process works on side by side.
    pub slots: u32,
    /// How long a run in hand may go on after SIGTERM before it is given back.
    pub drain_seconds: u32,
    /// A loop that has not turned for so long is stuck, and `/livez` says so.
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

/// The trainer's child processes.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainerSettings {
    /// Folder for job directories; removed after each attempt.
    pub scratch: PathBuf,
    /// Threads of a fit; 0 takes every core.
    pub threads: u32,
    /// Upper bound on a profile's `limits.wall_seconds`.
    pub max_wall_seconds: u32,
    /// Upper bound on a profile's `limits.memory_mib`.
    pub max_memory_mib: u32,
    /// Upper bound on a profile's `limits.cpu_seconds`.
    pub max_cpu_seconds: u32,
    /// Upper bound on a profile's `limits.file_mib`.
    pub max_file_mib: u32,
    /// Upper bound on a profile's `limits.processes`.
    pub max_processes: u32,
    /// Whether registered commands run where the kernel cannot confine them.
    pub allow_unconfined: bool,
    /// Commands that a training profile may name as `process:<name>`.
    pub commands: TrainerRegistrations,
}

impl TrainerSettings {
    /// Memory that a trainer may take here: the operator's bound, or what the machine has where that is less.
    pub fn memory_mib(&self) -> u32 {
        self.max_memory_mib.min(training::memory_at_hand_mib().unwrap_or(u32::MAX))
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

/// What is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that was named could not be read.
    #[error("cannot read {path}: {error}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Keys that do not exist or values that cannot be; all of them.
    #[error("{}", listed(.0))]
    Faults(Vec<InvalidSetting>),
    /// No key, and nothing that allows bundles without a signature.
    #[error("bundles must be signed: set [signing] key_file or key, or allow_unsigned = true")]
    Unsigned,
    /// A key that cannot be used.
    #[error("[signing]: {0}")]
    Key(#[from] KeyError),
    /// A policy that cannot be used.
    #[error("[authority] {path}: {faults}")]
    Policy {
        /// The file.
        path: PathBuf,
        /// Everything that is wrong with it.
        faults: PolicyFaults,
    },
    /// The boundaries document does not give Model Factory its outputs.
    #[error("OWNERSHIP_BOUNDARY_VIOLATION: {0}")]
    Ownership(String),
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidSetting {
    /// The key's path; empty where a whole file is meant.
    pub key: String,
    /// Where it came from.
    pub origin: Origin,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl InvalidSetting {
    fn new(key: &str, origin: &Origin, message: String) -> Self {
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

impl Config {
    /// The key that bundles are signed with; none only where bundles without a signature are allowed.
    pub fn signing_key(&self) -> Result<Option<PrivateKey>, ConfigError> {
        let SigningSettings { key_file, key, allow_unsigned } = &self.signing;
        let pem = match (key_file, key) {
            (_, Some(key)) => key.reveal().to_owned(),
            (Some(path), None) => {
                std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable { path: path.clone(), error })?
            }
            (None, None) if *allow_unsigned => return Ok(None),
            (None, None) => return Err(ConfigError::Unsigned),
        };
        Ok(Some(PrivateKey::from_pem(&pem)?))
    }

    /// The policy with the keys that it names, checked; none where everybody may ask for everything.
    pub fn policy(&self) -> Result<Option<Policy>, ConfigError> {
        let Some(path) = &self.authority.policy else { return Ok(None) };
        let bytes = std::fs::read(path).map_err(|error| ConfigError::Unreadable { path: path.clone(), error })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let key_file = |name: &str| {
            std::fs::read_to_string(folder.join(name)).map_err(|error| format!("cannot read {name:?}: {error}"))
        };
        let policy = Policy::read(&bytes, key_file);
        policy.map(Some).map_err(|faults| ConfigError::Policy { path: path.clone(), faults })
    }

    /// The boundaries document, checked. Nothing is admitted without it.
    pub fn ownership_boundaries(&self) -> Result<OwnershipBoundaries, ConfigError> {
        let Some(path) = &self.worker.ownership_boundaries else {
            return Ok(OwnershipBoundaries::shipped());
        };
        let bytes = std::fs::read(path).map_err(|error| ConfigError::Unreadable { path: path.clone(), error })?;
        OwnershipBoundaries::read(&bytes).map_err(|fault| ConfigError::Ownership(fault.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const PREFIX: &str = "MODEL_FACTORY_";

    fn load(file: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        super::loaded::tests::read(file, variables, &[]).map(|loaded| loaded.config)
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let config = load(
            "[worker]\nslots = 2\n[kafka]\nbrokers = \"a:1\"\n",
            &[("MODEL_FACTORY_KAFKA__BROKERS", "b:2"), ("MODEL_FACTORY_TRAINER__THREADS", "3"), ("OTHER", "x")],
        )
        .unwrap();
        assert_eq!((config.worker.slots, config.kafka.brokers.as_str(), config.trainer.threads), (2, "b:2", 3));
    }

    #[test]
    fn a_trainer_command_can_be_registered_by_file_and_by_environment() {
        let by_file = load("[trainer.commands.sklearn]\nprogram = \"/bin/sh\"\narguments = [\"-c\"]\n", &[]).unwrap();
        let prefix = "MODEL_FACTORY_TRAINER__COMMANDS__SKLEARN__";
        let variables = [(format!("{prefix}PROGRAM"), "/bin/sh"), (format!("{prefix}ARGUMENTS"), "[\"-c\"]")];
        let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let by_environment = load("", &variables).unwrap();
        assert_eq!(by_file.trainer.commands, by_environment.trainer.commands);
        let error = load("[trainer.commands.x]\nprogram = \"/bin/sh\"\nshell = true\n", &[]).unwrap_err();
        assert!(error.to_string().contains("there is no such key"), "{error}");
    }

    #[test]
    fn without_a_key_bundles_are_unsigned_only_where_that_is_said() {
        assert!(matches!(load("", &[]).unwrap().signing_key(), Err(ConfigError::Unsigned)));
        let unsigned = load("[signing]\nallow_unsigned = true\n", &[]).unwrap();
        assert!(unsigned.signing_key().unwrap().is_none());
        let key = PrivateKey::generate();
        let by_environment = load("", &[("MODEL_FACTORY_SIGNING__KEY", key.to_pem().reveal())]).unwrap();
        assert_eq!(by_environment.signing_key().unwrap().unwrap().public(), key.public());
        assert!(!format!("{by_environment:?}").contains("BEGIN"), "a key is never printed");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.pem");
        std::fs::write(&file, key.to_pem().reveal()).unwrap();
        let by_file = load(&format!("[signing]\nkey_file = {file:?}\n"), &[]).unwrap();
        assert_eq!(by_file.signing_key().unwrap().unwrap().public(), key.public());
        std::fs::write(&file, "no key").unwrap();
        assert!(matches!(by_file.signing_key(), Err(ConfigError::Key(KeyError::NoPrivateKey))));
    }

    #[test]
    fn where_traces_go_is_checked_before_anything_is_sent() {
        let wrong = "[telemetry]\notlp_endpoint = \"c:4318\"\notlp_headers = \"a=hush\"\notlp_headers_file = \"f\"\n\
                     sampling_ratio = 2\n";
        let told = load(wrong, &[]).unwrap_err().to_string();
        for key in ["telemetry.otlp_endpoint", "telemetry.otlp_headers", "telemetry.sampling_ratio"] {
            assert!(told.contains(key), "{told}");
        }
        assert!(!told.contains("hush"), "{told}");
    }

    #[test]
    fn librdkafka_properties_come_from_the_environment_too() {
        let config = load("", &[("MODEL_FACTORY_KAFKA__PROPERTIES__LINGER_MS", "20")]).unwrap();
        assert_eq!(config.kafka.properties["linger.ms"], "20");
        let with_or_without_quotes =
            load("[kafka.properties]\nfetch.max.bytes = \"9\"\n\"fetch.min.bytes\" = \"1\"\n", &[]);
        let properties = with_or_without_quotes.unwrap().kafka.properties;
        assert_eq!((properties["fetch.max.bytes"].as_str(), properties["fetch.min.bytes"].as_str()), ("9", "1"));
    }

    #[test]
    fn the_example_names_every_setting_with_its_default() {
        fn flat(prefix: &str, value: &serde_json::Value, found: &mut BTreeMap<String, String>) {
            let text = match value {
                serde_json::Value::Object(members) => {
                    for (key, value) in members {
                        flat(&format!("{prefix}__{}", key.to_uppercase()), value, found);
                    }
                    return;
                }
                serde_json::Value::Null => String::new(),
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            found.insert(prefix.trim_start_matches('_').to_owned(), text);
        }
        let mut settings = BTreeMap::new();
        flat("", &serde_json::to_value(Config::default()).unwrap(), &mut settings);
        let example = include_str!("../../deploy/worker.env.example");
        let shown: BTreeMap<String, String> = example
            .lines()
            .filter_map(|line| line.strip_prefix(PREFIX)?.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .filter(|(name, _)| !name.starts_with("KAFKA__PROPERTIES__"))
            .collect();
        assert_eq!(shown, settings);
    }
}
