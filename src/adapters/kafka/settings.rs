//! Settings of brokers, consumer group and topics, and the librdkafka properties that the worker's guarantees rest on.

use super::Error;
use super::security::{BrokerContext, SecuritySettings, is_ours, weakness};
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaSettings {
    pub brokers: String,
    pub group_id: String,
    /// Where the consumer group starts if it has never committed. With `None` a start without a committed offset is an
    /// error.
    pub from: Option<StartAt>,
    pub topics: TopicNames,
    /// Largest value that is sent, in bytes; set it below `max.message.bytes` of every topic. If a dead letter with the
    /// rejected record's value would be larger, it names that record by topic, partition and offset instead.
    pub max_value_bytes: u32,
    pub security: SecuritySettings,
    /// Further librdkafka properties, except reserved ones and those of TLS and SASL.
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
    /// Starts with the oldest record.
    Earliest,
    /// Starts with the next record that is written.
    Latest,
}

/// The order that a relay's producer keeps, and which other records suffer when the broker refuses one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// The records of a partition arrive in the order of their hand-over and without a gap. The broker refuses a whole
    /// produce request, without saying which of its records it means, and the producer has to be made anew.
    Ordered,
    /// Like `Ordered`, with one record in each produce request, so that a refusal concerns one known record.
    OrderedOneByOne,
    /// One record in each produce request. A refusal ends that record alone. Order is not kept.
    Independent,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TopicNames {
    /// Input: requests and commands.
    pub requests: String,
    /// Output: events about requests and runs.
    pub lifecycle: String,
    /// Output: publications of bundles, for the registry.
    pub publications: String,
    pub dead_letters: String,
    /// Input: the registry's events about bundles; read only with `publish.confirm = "registry"`.
    pub registry_lifecycle: String,
    /// Output: OpenLineage events; written only if lineage is enabled.
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

    /// Returns the worker's four topics, and the registry's.
    pub fn with_registry(&self) -> [&str; 5] {
        let [requests, lifecycle, publications, dead_letters, registry, _] = self.with_optional();
        [requests, lifecycle, publications, dead_letters, registry]
    }

    pub fn with_optional(&self) -> [&str; 6] {
        let [requests, lifecycle, publications, dead_letters] = self.all();
        [requests, lifecycle, publications, dead_letters, &self.registry_lifecycle, &self.lineage]
    }

    /// Returns the topics that a worker needs: the four that every worker has, and those of the registry and of lineage
    /// if used.
    pub fn needed(&self, reads_registry: bool, emits_lineage: bool) -> Vec<&str> {
        let registry = reads_registry.then_some(self.registry_lifecycle.as_str());
        let lineage = emits_lineage.then_some(self.lineage.as_str());
        self.all().into_iter().chain(registry).chain(lineage).collect()
    }
}

/// Properties that an operator may not set: a guarantee of the worker rests on each.
const OURS: [&str; 18] = [
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
    "receive.message.max.bytes",
    "message.timeout.ms",
    "delivery.timeout.ms",
    "enable.gapless.guarantee",
    "max.in.flight.requests.per.connection",
    "max.in.flight",
];

/// How many bytes a consumer fetches at once, unless the operator sets it. The client library unpacks a compressed
/// batch as a whole, to a thousand times its size if a producer wants that. Of batches above these bounds a broker
/// returns one at a time, and the next is fetched when the queue is below its own bound.
const FETCH: [(&str, &str); 2] = [("fetch.message.max.bytes", "262144"), ("fetch.max.bytes", "1048576")];

/// Properties of a member that an operator may change.
///
/// A killed member's partitions stand still until its session expires and the others have joined again: eight seconds,
/// and one interval of heartbeats. A busy member loses no session, since librdkafka sends heartbeats by itself. A topic
/// that was deleted and created again is noticed within one refresh of the metadata.
const GROUP_DEFAULTS: [(&str, &str); 3] = [
    ("session.timeout.ms", "8000"),
    ("heartbeat.interval.ms", "1500"),
    ("topic.metadata.refresh.interval.ms", "30000"),
];

impl KafkaSettings {
    /// Returns whether a guarantee of the worker rests on this librdkafka property, so that an operator may not set it.
    pub fn reserves(property: &str) -> bool {
        OURS.contains(&property)
    }

    pub(super) fn client(&self) -> Result<ClientConfig, Error> {
        let mut config = ClientConfig::new();
        // At Info and above, librdkafka logs that a listener hangs up, from which a wrong protocol is recognised.
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
            if let Some(why) = weakness(name, value) {
                return Err(Error::Setup(format!("[kafka.properties] {name}: {why}")));
            }
            config.set(name, value);
        }
        self.security.apply(&mut config, &self.brokers)?;
        config.set("bootstrap.servers", &self.brokers).set("client.id", "model-factory");
        Ok(config)
    }

    /// Checks that the settings agree, files can be read, and this build supports the protocol. Connects to no broker.
    pub fn check(&self) -> Result<(), Error> {
        self.client().map(|_| ())
    }

    pub(super) fn context(&self) -> BrokerContext {
        self.security.context(&self.brokers)
    }

    /// Builds the properties of a consumer. `reset` says what happens without a committed offset: `error`, `earliest`
    /// or `latest`.
    pub(super) fn consumer(&self, reset: &str) -> Result<ClientConfig, Error> {
        let mut config = self.client()?;
        for (name, value) in GROUP_DEFAULTS {
            if !self.properties.contains_key(name) {
                config.set(name, value);
            }
        }
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
            // Upper bound on what zstd may unpack to. The client library never returns a batch above it, nor any record
            // after that batch, so the bound is as large as possible. Records that are too large are refused one by
            // one.
            .set("receive.message.max.bytes", "2147483647")
            // How long fetching rests after the queue was full. The default is a second, but a few batches empty the
            // queue.
            .set("fetch.queue.backoff.ms", "20");
        for (name, bytes) in FETCH.into_iter().filter(|(name, _)| !self.properties.contains_key(*name)) {
            config.set(name, bytes);
        }
        Ok(config)
    }

    pub(super) fn producer(&self) -> Result<ClientConfig, Error> {
        let mut config = self.client()?;
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("partitioner", "murmur2_random")
            .set("message.timeout.ms", "10000")
            .set("linger.ms", "5");
        Ok(config)
    }

    /// Builds the properties of a relay's producer for one topic. docs/decisions/0019-relay-lanes.md says why order
    /// rests on them.
    pub(super) fn relay_producer(&self, flow: Flow) -> Result<ClientConfig, Error> {
        let mut config = self.producer()?;
        config
            // No record expires: if one did, later records would overtake it.
            .set("message.timeout.ms", "0")
            // Time in milliseconds after which a topic that no broker knows is an error.
            .set("topic.metadata.propagation.max.ms", "3000");
        match flow {
            Flow::Ordered | Flow::OrderedOneByOne => {
                config
                    .set("enable.gapless.guarantee", "true")
                    .set("max.in.flight.requests.per.connection", "1")
                    // A topic that takes the largest value takes a produce request of this size.
                    .set("batch.size", self.max_value_bytes.to_string());
            }
            Flow::Independent => {}
        }
        match flow {
            Flow::Ordered => {}
            Flow::OrderedOneByOne | Flow::Independent => {
                config.set("batch.num.messages", "1");
            }
        }
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
        settings.properties.insert("ssl.cipher.suites".to_owned(), "ALL:aNULL:@seclevel=0".to_owned());
        assert!(settings.check().unwrap_err().to_string().contains("@SECLEVEL"));
    }
}
