use super::{Config, ConfigError, InvalidSetting, Loaded};
use crate::adapters::signing::{KeyError, PrivateKey};
use std::collections::BTreeMap;

const PREFIX: &str = "MODEL_FACTORY_";

fn read(file: &str, variables: &[(&str, &str)], flags: &[&str]) -> Result<Loaded, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    std::fs::write(&path, file).unwrap();
    let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
    Loaded::read_from(Some(&path), variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())), &flags)
}

/// Loads a bad configuration. Returns the key, the file or variable, and the message of each error.
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
    let error = load(wrong, &[]).unwrap_err().to_string();
    for key in ["telemetry.otlp_endpoint", "telemetry.otlp_headers", "telemetry.sampling_ratio"] {
        assert!(error.contains(key), "{error}");
    }
    assert!(!error.contains("hush"), "{error}");
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
    let found = faults("[signing]\nkey = [\"hush\"]\n[kafka.properties]\n\"sasl.password\" = [\"hush\"]\n", &[], &[]);
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
        &[("MODEL_FACTORY_SIGNING__KEY", key.reveal()), ("MODEL_FACTORY_KAFKA__PROPERTIES__SSL_KEY_PASSWORD", "hush")],
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
