//! What brokers, topics and a group look like, for whoever checks a set-up. Asks only: never joins the group,
//! commits, or creates.

use super::Error;
use super::inbox::committed;
use super::security::{Link, ask};
use super::settings::KafkaSettings;
use rdkafka::admin::{AdminClient, AdminOptions, OwnedResourceSpecifier, ResourceSpecifier};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::metadata::{MetadataPartition, MetadataTopic};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::spawn_blocking;

/// The cluster as its brokers describe it.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// `host:port` of each broker.
    pub brokers: Vec<String>,
    /// Every topic.
    pub topics: BTreeMap<String, TopicShape>,
}

/// How a topic is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicShape {
    /// Partitions.
    pub partitions: usize,
    /// Partitions without a leader: nobody can read or write them.
    pub leaderless: usize,
    /// Fewest replicas of a partition.
    pub replicas: usize,
}

/// A topic's settings by name, `cleanup.policy` for example.
pub type TopicSettings = BTreeMap<String, String>;

/// One partition: what the log holds, and where the group stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupPosition {
    /// Partition.
    pub partition: i32,
    /// The next offset that the group reads; none before it committed.
    pub committed: Option<i64>,
    /// Offset of the oldest record that is still there.
    pub begin: i64,
    /// Offset of the next record.
    pub end: i64,
}

const ASK: Duration = Duration::from_secs(8);

/// Questions to the brokers of these settings.
pub struct Survey<'a> {
    settings: &'a KafkaSettings,
}

impl<'a> Survey<'a> {
    /// Asks nobody yet.
    pub fn new(settings: &'a KafkaSettings) -> Self {
        Self { settings }
    }

    /// Brokers and topics. Asks for the whole list, since asking for a topic by name may create it.
    pub async fn cluster(&self) -> Result<Cluster, Error> {
        let settings = self.settings.clone();
        blocking(move || {
            let client: BaseConsumer<Link> =
                settings.client()?.create_with_context(settings.link()).map_err(|error| setup(&error))?;
            let metadata = ask(&client, ASK, |client, patience| client.fetch_metadata(None, patience))?;
            let brokers = metadata.brokers().iter().map(|broker| format!("{}:{}", broker.host(), broker.port()));
            let topics = metadata.topics().iter().map(|topic| (topic.name().to_owned(), shape(topic)));
            Ok(Cluster { brokers: brokers.collect(), topics: topics.collect() })
        })
        .await
    }

    /// The settings of these topics, which must be there.
    pub async fn topic_settings(&self, names: &[&str]) -> Result<BTreeMap<String, TopicSettings>, Error> {
        if self.settings.security.by_token() {
            // The client library gives an admin client no token.
            return Err(Error::Setup("settings of topics cannot be read with OAUTHBEARER".to_owned()));
        }
        let admin: AdminClient<Link> =
            self.settings.client()?.create_with_context(self.settings.link()).map_err(|error| setup(&error))?;
        let options = AdminOptions::new().request_timeout(Some(ASK)).operation_timeout(Some(ASK));
        let asked: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        let answers = admin.describe_configs(&asked, &options).await.map_err(|error| passing(&error))?;
        let mut found = BTreeMap::new();
        for answer in answers {
            let answer = answer.map_err(|code| Error::Unavailable(format!("settings of topics: {code}")))?;
            if let OwnedResourceSpecifier::Topic(name) = answer.specifier {
                let entries = answer.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?)));
                found.insert(name, entries.collect());
            }
        }
        Ok(found)
    }

    /// Where a group stands on each partition of a topic; empty where the topic is not there.
    pub async fn positions(&self, group: &str, topic: &str) -> Result<Vec<GroupPosition>, Error> {
        let settings = KafkaSettings { group_id: group.to_owned(), ..self.settings.clone() };
        let topic = topic.to_owned();
        blocking(move || {
            let consumer: BaseConsumer<Link> =
                settings.consumer("error")?.create_with_context(settings.link()).map_err(|error| setup(&error))?;
            let metadata = ask(&consumer, ASK, |client, patience| client.fetch_metadata(None, patience))?;
            let mut list = TopicPartitionList::new();
            for found in metadata.topics().iter().filter(|found| found.name() == topic) {
                for partition in found.partitions() {
                    list.add_partition(&topic, partition.id());
                }
            }
            if list.count() == 0 {
                return Ok(Vec::new());
            }
            let mut positions = Vec::new();
            for element in committed(&consumer, &list)?.elements() {
                let partition = element.partition();
                let (begin, end) =
                    ask(&consumer, ASK, |client, patience| client.fetch_watermarks(&topic, partition, patience))?;
                let committed = match element.offset() {
                    Offset::Offset(offset) => Some(offset),
                    _ => None,
                };
                positions.push(GroupPosition { partition, committed, begin, end });
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

async fn blocking<T: Send + 'static>(ask: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    spawn_blocking(ask).await.map_err(|error| Error::Fatal(error.to_string()))?
}

fn setup(error: &KafkaError) -> Error {
    Error::Setup(format!("[kafka]: {error}"))
}

fn passing(error: &KafkaError) -> Error {
    Error::Unavailable(error.to_string())
}
