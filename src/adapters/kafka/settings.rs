//! Broker, group, topics, and the librdkafka properties that our guarantees rest on.

use super::Error;
use super::security::{BrokerContext, SecuritySettings, is_ours};
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaSettings {
    pub brokers: String,
    pub group_id: String,
    /// Where a group starts that has never committed; without it, such a group is an error.
    pub from: Option<StartAt>,
    pub topics: TopicNames,
    /// Bytes of the largest value that is sent; set it below `max.message.bytes` of every topic. A dead letter with a
    /// larger original carries its topic, partition and offset instead of its bytes.
    pub max_value_bytes: u32,
    pub security: SecuritySettings,
    /// Further librdkafka properties, except those that our guarantees rest on and those of TLS and SASL.
    pub properties: BTreeMap<String, String>,
}

impl Default for KafkaSettings {
    fn default() -> Self {
        Self {
            brokers: "localhost:9092".to_owned(),
            group_id: "model-factory".to_owned(),
            from: None,
            topics: TopicNames::default(),
            max_value_bytes: 900_000,
            security: SecuritySettings::default(),
            properties: BTreeMap::new(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StartAt {
    /// With the oldest record.
    Earliest,
    /// With the next record.
    Latest,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TopicNames {
    /// In: requests and commands.
    pub requests: String,
    /// Out: what happens to requests and runs.
    pub lifecycle: String,
    /// Out: bundles for the registry.
    pub publications: String,
    pub dead_letters: String,
    /// In: the registry's events about bundles, read only with `publish.confirm = "registry"`.
    pub registry_lifecycle: String,
    /// Out, where lineage is enabled: OpenLineage events.
    pub lineage: String,
}

impl Default for TopicNames {
    fn default() -> Self {
        Self {
            requests: "mf.train-requests.v0".to_owned(),
            lifecycle: "mf.run-lifecycle.v0".to_owned(),
            publications: "mf.bundle-publications.v0".to_owned(),
            dead_letters: "mf.dead-letters.v0".to_owned(),
            registry_lifecycle: "learning.registry_lifecycle.v0".to_owned(),
            lineage: "mf.lineage.v0".to_owned(),
        }
    }
}

impl TopicNames {
    pub fn all(&self) -> [&str; 4] {
        [&self.requests, &self.lifecycle, &self.publications, &self.dead_letters]
    }

    /// Our four and the registry's.
    pub fn with_registry(&self) -> [&str; 5] {
        let [requests, lifecycle, publications, dead_letters, registry, _] = self.with_optional();
        [requests, lifecycle, publications, dead_letters, registry]
    }

    pub fn with_optional(&self) -> [&str; 6] {
        let [requests, lifecycle, publications, dead_letters] = self.all();
        [requests, lifecycle, publications, dead_letters, &self.registry_lifecycle, &self.lineage]
    }

    /// The topics that a worker needs, by whether it reads the registry's topic and emits lineage.
    pub fn needed(&self, reads_registry: bool, emits_lineage: bool) -> Vec<&str> {
        let registry = reads_registry.then_some(self.registry_lifecycle.as_str());
        let lineage = emits_lineage.then_some(self.lineage.as_str());
        self.all().into_iter().chain(registry).chain(lineage).collect()
    }
}

/// Properties that an operator may not change: each guarantee rests on one of them.
const OURS: [&str; 12] = [
    "bootstrap.servers",
    "group.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "isolation.level",
    "partition.assignment.strategy",
    "group.protocol",
    "enable.idempotence",
    "acks",
    "partitioner",
    "allow.auto.create.topics",
];

impl KafkaSettings {
    /// Whether an operator may not set this librdkafka property: a guarantee of the worker rests on it.
    pub fn reserves(property: &str) -> bool {
        OURS.contains(&property)
    }

    pub(super) fn client(&self) -> Result<ClientConfig, Error> {
        let mut config = ClientConfig::new();
        // librdkafka logs that a listener hangs up at this level only, and that is how its protocol is known.
        config.set_log_level(RDKafkaLogLevel::Info);
        for (name, value) in &self.properties {
            if Self::reserves(name) {
                return Err(Error::Setup(format!(
                    "[kafka.properties] {name} cannot be set: a guarantee of the worker rests on it"
                )));
            }
            if is_ours(name) {
                return Err(Error::Setup(format!(
                    "[kafka.properties] {name} cannot be set: TLS and SASL are settings of [kafka.security]"
                )));
            }
            config.set(name, value);
        }
        self.security.apply(&mut config, &self.brokers)?;
        config.set("bootstrap.servers", &self.brokers).set("client.id", "model-factory");
        Ok(config)
    }

    /// Whether settings fit, files can be read and this build has the protocol. Connects to no broker.
    pub fn check(&self) -> Result<(), Error> {
        self.client().map(|_| ())
    }

    pub(super) fn context(&self) -> BrokerContext {
        self.security.context(&self.brokers)
    }

    /// `reset` says what happens where no offset is committed: `error`, `earliest` or `latest`.
    pub(super) fn consumer(&self, reset: &str) -> Result<ClientConfig, Error> {
        let mut config = self.client()?;
        config
            .set("group.id", &self.group_id)
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", "1000")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", reset)
            .set("isolation.level", "read_committed")
            .set("partition.assignment.strategy", "range")
            .set("allow.auto.create.topics", "false")
            .set("queued.max.messages.kbytes", "16384")
            // A few batches empty a full queue; the default would wait for a second.
            .set("fetch.queue.backoff.ms", "20");
        Ok(config)
    }

    pub(super) fn producer(&self) -> Result<ClientConfig, Error> {
        let mut config = self.client()?;
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("partitioner", "murmur2_random")
            // Shorter than the relay's hold on its shards: when the relay loses them, its records in flight are
            // either delivered or never will be.
            .set("message.timeout.ms", "10000")
            .set("linger.ms", "5");
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_that_guarantees_rest_on_cannot_be_set() {
        let mut settings = KafkaSettings::default();
        settings.properties.insert("linger.ms".to_owned(), "1".to_owned());
        assert!(settings.producer().is_ok());
        settings.properties.insert("acks".to_owned(), "1".to_owned());
        assert!(settings.producer().unwrap_err().to_string().contains("acks"));
    }

    #[test]
    fn tls_and_sasl_have_one_place_only() {
        for name in ["security.protocol", "sasl.password", "ssl.endpoint.identification.algorithm", "enable.ssl.x"] {
            let mut settings = KafkaSettings::default();
            settings.properties.insert(name.to_owned(), "none".to_owned());
            assert!(settings.check().unwrap_err().to_string().contains("[kafka.security]"), "{name}");
        }
        let mut settings = KafkaSettings::default();
        settings.properties.insert("ssl.cipher.suites".to_owned(), "HIGH".to_owned());
        assert!(settings.check().is_ok());
    }
}
