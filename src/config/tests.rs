use super::{Config, ConfigError};
use crate::adapters::signing::{KeyError, PrivateKey};
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
