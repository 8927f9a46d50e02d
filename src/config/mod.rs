//! Configuration: file < environment < flags, one validated value. The only reader of the environment.
//!
//! `model-factory.toml` holds sections; `MODEL_FACTORY_KAFKA__BROKERS` sets `brokers` of `[kafka]`, and so does
//! `--set kafka.brokers=…`; an empty variable is as good as none. Unknown keys are errors, and all faults are told
//! at once. Never: prints a secret.

mod check;
mod known;
mod layers;
mod show;

pub use layers::Origin;
pub use show::Shown;

use crate::contract::OwnershipBoundaries;
use crate::dataset::InputSettings;
use crate::evidence::EvidenceSettings;
use crate::kafka::KafkaSettings;
use crate::ledger::{LedgerSettings, PublishSettings};
use crate::signing::{KeyFault, PrivateKey, SigningSettings};
use crate::trainer::TrainerRegistrations;
use layers::Layers;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
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
    /// Where evidence goes.
    pub evidence: EvidenceSettings,
    /// What may be read.
    pub inputs: InputSettings,
    /// The trainer's child process.
    pub trainer: TrainerSettings,
    /// Whether and with what bundles are signed.
    pub signing: SigningSettings,
    /// For the test suite; not in a release.
    #[cfg(debug_assertions)]
    #[serde(skip_serializing)]
    pub fault: Option<crate::faults::FaultSettings>,
}

/// The process itself.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerSettings {
    /// Address of health checks.
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

/// How logs look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
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
    Faults(Vec<ConfigFault>),
    /// No key, and nothing that allows bundles without a signature.
    #[error("bundles must be signed: set [signing] key_file or key, or allow_unsigned = true")]
    Unsigned,
    /// A key that cannot be used.
    #[error("[signing]: {0}")]
    Key(#[from] KeyFault),
    /// The boundaries document does not give Model Factory its outputs.
    #[error("OWNERSHIP_BOUNDARY_VIOLATION: {0}")]
    Ownership(String),
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFault {
    /// The key's path; empty where a whole file is meant.
    pub key: String,
    /// Where it came from.
    pub origin: Origin,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl ConfigFault {
    fn new(key: &str, origin: &Origin, message: String) -> Self {
        Self { key: key.to_owned(), origin: origin.clone(), message }
    }
}

fn listed(faults: &[ConfigFault]) -> String {
    let lines = faults.iter().map(|ConfigFault { key, origin, message }| match key.as_str() {
        "" => format!("\n  {origin}: {message}"),
        key => format!("\n  {key} ({origin}): {message}"),
    });
    let count = if faults.len() == 1 { "a fault".to_owned() } else { format!("{} faults", faults.len()) };
    format!("{count} in the configuration:{}", lines.collect::<String>())
}

const DEFAULT_FILE: &str = "model-factory.toml";

/// A configuration that still knows where each value came from.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    origins: BTreeMap<String, Origin>,
}

impl Loaded {
    /// Reads file, environment and the command line's `key=value`. Without `--config` the default file is read
    /// where it exists.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn read(file: Option<&Path>, flags: &[String]) -> Result<Self, ConfigError> {
        let readable = |(name, value): (OsString, OsString)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        };
        Self::read_from(file, std::env::vars_os().filter_map(readable), flags)
    }

    fn read_from(
        file: Option<&Path>,
        variables: impl Iterator<Item = (String, String)>,
        flags: &[String],
    ) -> Result<Self, ConfigError> {
        let mut layers = Layers::new();
        let default = Path::new(DEFAULT_FILE);
        if let Some(path) = file.or_else(|| default.exists().then_some(default)) {
            let text = std::fs::read_to_string(path)
                .map_err(|error| ConfigError::Unreadable { path: path.to_owned(), error })?;
            layers.file(path, &text);
        }
        for (name, value) in variables {
            layers.variable(&name, &value);
        }
        for flag in flags {
            layers.flag(flag);
        }
        let (config, origins, mut faults) = layers.read();
        for (key, message) in check::check(&config) {
            let origin = origins.get(&key).cloned().unwrap_or(Origin::Default);
            faults.push(ConfigFault { key, origin, message });
        }
        if faults.is_empty() { Ok(Self { config, origins }) } else { Err(ConfigError::Faults(faults)) }
    }

    /// Every key with its value and origin; secrets are not shown.
    pub fn show(&self) -> Vec<Shown> {
        show::show(&self.config, &self.origins)
    }
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

    const PREFIX: &str = "MODEL_FACTORY_";

    fn read(file: &str, variables: &[(&str, &str)], flags: &[&str]) -> Result<Loaded, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        std::fs::write(&path, file).unwrap();
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Loaded::read_from(Some(&path), variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())), &flags)
    }

    fn load(file: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        read(file, variables, &[]).map(|loaded| loaded.config)
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

    /// Key, origin without its folder, message.
    fn faults(file: &str, variables: &[(&str, &str)], flags: &[&str]) -> Vec<(String, String, String)> {
        match read(file, variables, flags) {
            Err(ConfigError::Faults(faults)) => faults
                .into_iter()
                .map(|fault| {
                    let origin = fault.origin.to_string();
                    (fault.key, origin.rsplit('/').next().unwrap().to_owned(), fault.message)
                })
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_win_over_the_environment() {
        let loaded = read(
            "[worker]\nslots = 2\n",
            &[("MODEL_FACTORY_WORKER__SLOTS", "3"), ("MODEL_FACTORY_KAFKA__GROUP_ID", "7")],
            &["worker.slots=4", "kafka.properties.linger.ms=20"],
        )
        .unwrap();
        assert_eq!((loaded.config.worker.slots, loaded.config.kafka.group_id.as_str()), (4, "7"));
        assert_eq!(loaded.config.kafka.properties["linger.ms"], "20");
    }

    #[test]
    fn all_faults_are_told_at_once_with_key_origin_and_the_nearest_key() {
        let found = faults(
            "worker = 3\n[kafka]\nbroker = \"a:1\"\n[kafak.topics]\nrequests = \"r\"\n[ledger]\nmax_connections = 0\n",
            &[("MODEL_FACTORY_LEDGER__LEASE_SECOND", "3"), ("MODEL_FACTORY_TRAINER__THREADS", "many")],
            &["evidence.url=http://x", "kafka.properties.acks=1", "signing"],
        );
        let expected = [
            ("kafak.topics.requests", "c.toml", "the nearest is kafka.topics.requests"),
            ("kafka.broker", "c.toml", "the nearest is kafka.brokers"),
            ("worker", "c.toml", "it is a section"),
            ("ledger.lease_second", "MODEL_FACTORY_LEDGER__LEASE_SECOND", "the nearest is ledger.lease_seconds"),
            ("signing", "--set", "write it as KEY=VALUE"),
            ("trainer.threads", "MODEL_FACTORY_TRAINER__THREADS", "expected u32"),
            ("kafka.properties.acks", "--set", "a guarantee of the worker rests on it"),
            ("evidence.url", "--set", "it must start with file:/// or s3://"),
            ("ledger.max_connections", "c.toml", "at least 1"),
        ];
        let mut found: Vec<_> = found.iter().map(|(key, origin, message)| (&**key, &**origin, &**message)).collect();
        let mut expected = expected.to_vec();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for ((key, origin, message), (its_key, its_origin, part)) in found.into_iter().zip(expected) {
            assert_eq!((key, origin), (its_key, its_origin));
            assert!(message.contains(part), "{key}: {message}");
        }
    }

    #[test]
    fn a_fault_tells_nothing_of_a_secret() {
        let found =
            faults("[signing]\nkey = [\"hush\"]\n[kafka.properties]\n\"sasl.password\" = [\"hush\"]\n", &[], &[]);
        assert_eq!(found.len(), 2);
        let broken = faults("[signing]\nkey = \"hush\n", &[], &[]);
        assert!(broken[0].2.starts_with("line 2: "), "{broken:?}");
        let not_postgres = faults("[ledger]\nurl = \"mysql://mf:hush@db/mf\"\n", &[], &[]);
        assert!(!format!("{found:?} {broken:?} {not_postgres:?}").contains("hush"));
    }

    #[test]
    fn a_password_that_looks_like_a_number_is_one_and_is_not_printed() {
        let names = ["USERNAME", "PASSWORD", "KEY_PASSWORD"].map(|key| format!("MODEL_FACTORY_KAFKA__SECURITY__{key}"));
        let variables: Vec<_> = names.iter().map(|name| (name.as_str(), "1234567")).collect();
        let security = load("", &variables).unwrap().kafka.security;
        let given = [security.password.as_ref().unwrap().reveal(), security.key_password.as_ref().unwrap().reveal()];
        assert_eq!((security.username.as_deref(), given), (Some("1234567"), ["1234567"; 2]));
    }

    #[test]
    fn what_is_shown_has_every_key_its_origin_and_no_secret() {
        let key = PrivateKey::generate().to_pem();
        let loaded = read(
            "[ledger]\nurl = \"postgres://mf:hush@db/mf\"\n[kafka.properties]\n\"sasl.password\" = \"hush\"\n",
            &[
                ("MODEL_FACTORY_SIGNING__KEY", key.reveal()),
                ("MODEL_FACTORY_KAFKA__PROPERTIES__SSL_KEY_PASSWORD", "hush"),
            ],
            &["worker.slots=2"],
        )
        .unwrap();
        let shown = loaded.show();
        let of = |key: &str| {
            let found = shown.iter().find(|shown| shown.key == key).unwrap_or_else(|| panic!("{key} is not shown"));
            (found.value.clone(), found.origin.to_string())
        };
        assert_eq!(of("worker.slots"), (2.into(), "--set".to_owned()));
        assert_eq!(of("kafka.brokers"), ("localhost:9092".into(), "default".to_owned()));
        assert_eq!(of("signing.key"), ("(secret)".into(), "MODEL_FACTORY_SIGNING__KEY".to_owned()));
        assert_eq!(of("ledger.url").0, "postgres://mf:(secret)@db/mf");
        assert!(of("ledger.url").1.ends_with("c.toml"));
        assert_eq!(of("kafka.properties.sasl.password").0, "(secret)");
        assert_eq!(of("kafka.properties.ssl.key.password").0, "(secret)");
        let text = serde_json::to_string(&shown).unwrap();
        assert!(!text.contains("hush") && !text.contains("PRIVATE"), "{text}");
    }

    #[test]
    fn a_trainer_command_can_be_registered_by_file_and_by_environment() {
        let by_file = load("[trainer.commands.sklearn]\nprogram = \"/bin/sh\"\narguments = [\"-c\"]\n", &[]).unwrap();
        let prefix = "MODEL_FACTORY_TRAINER__COMMANDS__SKLEARN__";
        let variables = [(format!("{prefix}PROGRAM"), "/bin/sh"), (format!("{prefix}ARGUMENTS"), "[\"-c\"]")];
        let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let by_environment = load("", &variables).unwrap();
        assert_eq!(by_file.trainer.commands, by_environment.trainer.commands);
        let found = faults("[trainer.commands.x]\nprogram = \"/bin/sh\"\nnetwrk = true\n", &[], &[]);
        assert_eq!(found[0].2, "there is no such key; the nearest is trainer.commands.x.network");
        let found = faults("[trainer.commands.x]\narguments = []\n", &[], &[]);
        assert!(found[0].2.contains("missing field `program`"), "{found:?}");
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
        assert!(matches!(by_file.signing_key(), Err(ConfigError::Key(KeyFault::NoPrivateKey))));
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
