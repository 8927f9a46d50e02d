//! Checks configuration values that already have the right type. Never: opens a file, connects.

use super::Config;
use crate::adapters::kafka::KafkaSettings;
use crate::domain::contract::AllowList;

/// Returns each key whose value breaks a rule, with what is wrong with the value.
pub(super) fn check(config: &Config) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut wrong = |key: &str, message: &str| found.push((key.to_owned(), message.to_owned()));
    let Config { kafka, ledger, evidence, inputs, trainer, signing, telemetry, .. } = config;
    let texts = [
        ("kafka.brokers", &kafka.brokers),
        ("kafka.group_id", &kafka.group_id),
        ("kafka.topics.requests", &kafka.topics.requests),
        ("kafka.topics.lifecycle", &kafka.topics.lifecycle),
        ("kafka.topics.publications", &kafka.topics.publications),
        ("kafka.topics.dead_letters", &kafka.topics.dead_letters),
        ("kafka.topics.registry_lifecycle", &kafka.topics.registry_lifecycle),
        ("kafka.topics.lineage", &kafka.topics.lineage),
    ];
    if config.lineage.namespace.trim().is_empty() {
        wrong("lineage.namespace", "it may not be empty");
    }
    for (key, _) in texts.iter().filter(|(_, text)| text.trim().is_empty()) {
        wrong(key, "it may not be empty");
    }
    for (at, (key, topic)) in texts.iter().enumerate().skip(2) {
        if let Some((other, _)) = texts[2..at].iter().find(|(_, other)| other == topic) {
            wrong(key, &format!("it is the same topic as {other}"));
        }
    }
    for property in kafka.properties.keys().filter(|property| KafkaSettings::reserves(property)) {
        wrong(&format!("kafka.properties.{property}"), "it cannot be set: a guarantee of the worker rests on it");
    }
    let is_postgres = url::Url::parse(&ledger.url).is_ok_and(|url| ["postgres", "postgresql"].contains(&url.scheme()));
    if !is_postgres {
        wrong("ledger.url", "it must be postgres://user@host:port/database");
    }
    if !(evidence.url.starts_with("file:///") || evidence.url.starts_with("s3://")) {
        wrong("evidence.url", "it must start with file:/// or s3://");
    }
    if let Err(error) = AllowList::read(&inputs.allow, inputs.root.is_some()) {
        wrong("inputs.allow", &error.to_string());
    }
    if signing.key.is_some() && signing.key_file.is_some() {
        wrong("signing.key", "there is a signing.key_file as well; set one of them");
    }
    if let Err(why) = telemetry.traces_url() {
        let (key, message) = why.split_once(": ").unwrap_or(("otlp_endpoint", &why));
        wrong(&format!("telemetry.{key}"), message);
    }
    if telemetry.otlp_headers.is_some() && telemetry.otlp_headers_file.is_some() {
        wrong("telemetry.otlp_headers", "there is a telemetry.otlp_headers_file as well; set one of them");
    }
    if !(0.0..=1.0).contains(&telemetry.sampling_ratio) {
        wrong("telemetry.sampling_ratio", "it must be from 0 to 1");
    }
    let at_least_one = [
        ("kafka.max_value_bytes", kafka.max_value_bytes),
        ("ledger.max_connections", ledger.max_connections),
        ("ledger.lease_seconds", ledger.lease_seconds),
        ("ledger.max_full_attempts", ledger.max_full_attempts),
        ("trainer.max_wall_seconds", trainer.max_wall_seconds),
        ("trainer.max_memory_mib", trainer.max_memory_mib),
        ("trainer.max_cpu_seconds", trainer.max_cpu_seconds),
        ("trainer.max_file_mib", trainer.max_file_mib),
        ("trainer.max_processes", trainer.max_processes),
        ("worker.slots", config.worker.slots),
    ];
    for (key, _) in at_least_one.iter().filter(|(_, value)| *value == 0) {
        wrong(key, "it must be at least 1");
    }
    found
}
