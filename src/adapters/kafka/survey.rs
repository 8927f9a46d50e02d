//! Reads the state of brokers, topics and a consumer group for `doctor`, and checks for readiness whether a broker
//! replies. Never: joins a consumer group, commits, creates topics.

use super::Error;
use super::assigned::mark;
use super::query::{QueryClient, blocking, committed, partitions, query};
use super::settings::KafkaSettings;
use rdkafka::Offset;
use rdkafka::admin::{AdminOptions, OwnedResourceSpecifier, ResourceSpecifier};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::metadata::{MetadataPartition, MetadataTopic};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Cluster {
    /// `host:port` of each broker.
    pub brokers: Vec<String>,
    pub topics: BTreeMap<String, TopicShape>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicShape {
    pub partitions: usize,
    /// Partitions without a leader: they can be neither read nor written.
    pub leaderless: usize,
    pub replicas: usize,
}

pub type TopicSettings = BTreeMap<String, String>;

/// A partition: which offsets its log holds, and the consumer group's committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupPosition {
    pub partition: i32,
    /// The next offset that the consumer group reads; `None` if it has never committed one.
    pub committed: Option<i64>,
    /// The text that was committed with the offset; see [`super::AssignedPartition`].
    pub mark: Option<String>,
    pub begin: i64,
    pub end: i64,
}

const PATIENCE: Duration = Duration::from_secs(8);

pub struct Survey<'a> {
    settings: &'a KafkaSettings,
}

impl<'a> Survey<'a> {
    /// Prepares a survey without connecting to a broker.
    pub fn new(settings: &'a KafkaSettings) -> Self {
        Self { settings }
    }

    /// Reads brokers and topics. Fetches all topics, since a query for one topic by its name may create it.
    pub async fn cluster(&self) -> Result<Cluster, Error> {
        let settings = self.settings.clone();
        blocking(move || {
            let client = settings.query_client()?;
            let metadata = query(&client, PATIENCE, |client, patience| client.fetch_metadata(None, patience))?;
            let brokers = metadata.brokers().iter().map(|broker| format!("{}:{}", broker.host(), broker.port()));
            let topics = metadata.topics().iter().map(|topic| (topic.name().to_owned(), shape(topic)));
            Ok(Cluster { brokers: brokers.collect(), topics: topics.collect() })
        })
        .await
    }

    /// Reads the broker's settings of these topics; an error if one does not exist.
    pub async fn topic_settings(&self, names: &[&str]) -> Result<BTreeMap<String, TopicSettings>, Error> {
        let admin = self.settings.admin_client("settings of topics cannot be read with OAUTHBEARER")?;
        let options = AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE));
        let topics: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        let described = admin.describe_configs(&topics, &options).await.map_err(|error| Error::unavailable(&error))?;
        let mut found = BTreeMap::new();
        for topic in described {
            let topic = topic.map_err(|code| Error::Unavailable(format!("settings of topics: {code}")))?;
            if let OwnedResourceSpecifier::Topic(name) = topic.specifier {
                let entries = topic.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?)));
                found.insert(name, entries.collect());
            }
        }
        Ok(found)
    }

    /// Reads a consumer group's position on each partition of a topic; empty if the topic does not exist.
    pub async fn positions(&self, group: &str, topic: &str) -> Result<Vec<GroupPosition>, Error> {
        let settings = KafkaSettings { group_id: group.to_owned(), ..self.settings.clone() };
        let topic = topic.to_owned();
        blocking(move || {
            let client = settings.group_client()?;
            let metadata = query(&client, PATIENCE, |client, patience| client.fetch_metadata(None, patience))?;
            let list = partitions(&metadata, &topic);
            if list.count() == 0 {
                return Ok(Vec::new());
            }
            let mut positions = Vec::new();
            for element in committed(&client, &list)?.elements() {
                let partition = element.partition();
                let (begin, end) =
                    query(&client, PATIENCE, |client, patience| client.fetch_watermarks(&topic, partition, patience))?;
                let committed = match element.offset() {
                    Offset::Offset(offset) => Some(offset),
                    _ => None,
                };
                positions.push(GroupPosition { partition, committed, mark: mark(&element), begin, end });
            }
            Ok(positions)
        })
        .await
    }
}

fn shape(topic: &MetadataTopic) -> TopicShape {
    let partitions = topic.partitions();
    TopicShape {
        partitions: partitions.len(),
        leaderless: partitions.iter().filter(|partition| partition.leader() < 0).count(),
        replicas: partitions.iter().map(MetadataPartition::replicas).map(<[i32]>::len).min().unwrap_or(0),
    }
}

/// Checks whether a broker replies. Reads no records; clones share the client.
#[derive(Clone)]
pub struct BrokerProbe {
    client: Arc<QueryClient>,
    topic: String,
}

impl BrokerProbe {
    /// Creates the client without connecting to a broker.
    pub fn open(settings: &KafkaSettings) -> Result<Self, Error> {
        // A query for a topic by its name must not create the topic.
        let mut config = settings.client()?;
        config.set("allow.auto.create.topics", "false");
        let client = config.create_with_context(settings.context()).map_err(|error| Error::setup(&error))?;
        Ok(Self { client: Arc::new(client), topic: settings.topics.lifecycle.clone() })
    }

    /// Asks a broker about one topic; fails if there is no reply within two seconds.
    pub async fn check(&self) -> Result<(), Error> {
        const BOUND: Duration = Duration::from_secs(2);
        let Self { client, topic } = self.clone();
        blocking(move || {
            let metadata = query(&client, BOUND, |client, patience| client.fetch_metadata(Some(&topic), patience))?;
            match metadata.topics().first().and_then(rdkafka::metadata::MetadataTopic::error) {
                Some(error) => Err(Error::Unavailable(KafkaError::MetadataFetch(error.into()).to_string())),
                None => Ok(()),
            }
        })
        .await
    }
}
