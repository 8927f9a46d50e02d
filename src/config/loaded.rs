//! Reads all layers into one configuration that remembers the origin of each value.

use super::layers::Layers;
use super::{Config, ConfigError, InvalidSetting, Origin, ShownSetting, check, show};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

const DEFAULT_FILE: &str = "model-factory.toml";

#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    origins: BTreeMap<String, Origin>,
}

impl Loaded {
    /// Reads the file, the environment and the command line's `key=value`. Without `--config`, reads the default file
    /// where it exists.
    #[expect(clippy::disallowed_methods, reason = "only this function reads the environment")]
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
            faults.push(InvalidSetting { key, origin, message });
        }
        if faults.is_empty() { Ok(Self { config, origins }) } else { Err(ConfigError::Faults(faults)) }
    }

    pub fn show(&self) -> Vec<ShownSetting> {
        show::show(&self.config, &self.origins)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::adapters::signing::PrivateKey;

    pub(in crate::config) fn read(
        file: &str,
        variables: &[(&str, &str)],
        flags: &[&str],
    ) -> Result<Loaded, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        std::fs::write(&path, file).unwrap();
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Loaded::read_from(Some(&path), variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())), &flags)
    }

    /// Key, origin without its folder, message.
    fn faults(file: &str, variables: &[(&str, &str)], flags: &[&str]) -> Vec<(String, String, String)> {
        match read(file, variables, flags) {
            Err(ConfigError::Faults(faults)) => faults
                .into_iter()
                .map(|InvalidSetting { key, origin, message }| {
                    (key, origin.to_string().rsplit('/').next().unwrap().to_owned(), message)
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
    fn all_faults_are_found_at_once_with_key_origin_and_the_nearest_key() {
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
    fn no_error_shows_a_secret() {
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
        let loaded = read("", &variables, &[]).unwrap();
        let security = &loaded.config.kafka.security;
        let given = [security.password.as_ref().unwrap().reveal(), security.key_password.as_ref().unwrap().reveal()];
        assert_eq!((security.username.as_deref(), given), (Some("1234567"), ["1234567"; 2]));
        let shown = serde_json::to_string(&loaded.show()).unwrap();
        assert_eq!(shown.matches("1234567").count(), 1, "{shown}");
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
    fn a_trainer_command_is_one_thing_whose_fields_are_known() {
        let found = faults("[trainer.commands.x]\nprogram = \"/bin/sh\"\nnetwrk = true\n", &[], &[]);
        assert_eq!(found[0].2, "there is no such key; the nearest is trainer.commands.x.network");
        let found = faults("[trainer.commands.x]\narguments = []\n", &[], &[]);
        assert!(found[0].2.contains("missing field `program`"), "{found:?}");
    }
}
