//! What brokers, topics and a group look like, for a check of the set-up. Never: joins the group, commits, creates.

use super::Error;
use super::committed::committed;
use super::query::{blocking, partitions, query};
use super::security::BrokerContext;
use super::settings::KafkaSettings;
use rdkafka::Offset;
use rdkafka::admin::{AdminClient, AdminOptions, OwnedResourceSpecifier, ResourceSpecifier};
use rdkafka::consumer::Consumer as _;
use rdkafka::metadata::{MetadataPartition, MetadataTopic};
use std::collections::BTreeMap;
use std::time::Duration;

/// The cluster as its brokers describe it.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// `host:port` of each broker.
    pub brokers: Vec<String>,
    pub topics: BTreeMap<String, TopicShape>,
}

/// How a topic is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicShape {
    pub partitions: usize,
    /// Partitions without a leader: nobody can read or write them.
    pub leaderless: usize,
    /// Fewest replicas of a partition.
    pub replicas: usize,
}

/// A topic's settings by name, `cleanup.policy` for example.
pub type TopicSettings = BTreeMap<String, String>;

/// One partition: which offsets the log holds, and where the group stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupPosition {
    pub partition: i32,
    /// The next offset that the group reads; none where it never committed.
    pub committed: Option<i64>,
    /// Offset of the oldest record that is still there.
    pub begin: i64,
    /// Offset of the next record.
    pub end: i64,
}

const PATIENCE: Duration = Duration::from_secs(8);

/// Queries to the brokers of these settings.
pub struct Survey<'a> {
    settings: &'a KafkaSettings,
}

impl<'a> Survey<'a> {
    /// Connects to no broker yet.
    pub fn new(settings: &'a KafkaSettings) -> Self {
        Self { settings }
    }

    /// Brokers and topics. Fetches the whole list, since a query for one topic by its name may create it.
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

    /// The settings of these topics, which must be there.
    pub async fn topic_settings(&self, names: &[&str]) -> Result<BTreeMap<String, TopicSettings>, Error> {
        if self.settings.security.by_token() {
            // The client library gives an admin client no token.
            return Err(Error::Setup("settings of topics cannot be read with OAUTHBEARER".to_owned()));
        }
        let admin: AdminClient<BrokerContext> = self
            .settings
            .client()?
            .create_with_context(self.settings.context())
            .map_err(|error| Error::setup(&error))?;
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

    /// Where a group stands on each partition of a topic; empty where the topic does not exist.
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
