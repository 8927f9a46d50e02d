//! Reads a topic from where it ends now, outside any group: for people who watch.

use super::Fault;
use super::inbox::{Inbound, owned};
use super::settings::KafkaSettings;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use std::time::Duration;
use tokio::task::spawn_blocking;

/// A reader of one topic that commits nothing.
pub struct Follower {
    consumer: StreamConsumer,
}

impl Follower {
    /// Starts at the present end of every partition.
    pub async fn at_end(settings: &KafkaSettings, topic: &str) -> Result<Self, Fault> {
        const ASK: Duration = Duration::from_secs(10);
        let (settings, topic) = (settings.clone(), topic.to_owned());
        let unavailable = |error: KafkaError| Fault::Unavailable(error.to_string());
        spawn_blocking(move || {
            let mut config = settings.consumer("error")?;
            config.set("group.id", "model-factory-follower").set("enable.auto.commit", "false");
            let consumer: StreamConsumer = config.create().map_err(unavailable)?;
            let metadata = consumer.fetch_metadata(Some(&topic), ASK).map_err(|error| settings.unreachable(&error))?;
            let mut list = TopicPartitionList::new();
            for partition in metadata.topics().iter().flat_map(rdkafka::metadata::MetadataTopic::partitions) {
                let (_, end) = consumer.fetch_watermarks(&topic, partition.id(), ASK).map_err(unavailable)?;
                list.add_partition_offset(&topic, partition.id(), Offset::Offset(end)).map_err(unavailable)?;
            }
            consumer.assign(&list).map_err(unavailable)?;
            Ok(Self { consumer })
        })
        .await
        .map_err(|error| Fault::Fatal(error.to_string()))?
    }

    /// The next record, or none within `patience`.
    pub async fn next(&self, patience: Duration) -> Result<Option<Inbound>, Fault> {
        match tokio::time::timeout(patience, self.consumer.recv()).await {
            Ok(Ok(message)) => Ok(Some(owned(&message))),
            Ok(Err(error)) => Err(Fault::Unavailable(error.to_string())),
            Err(_) => Ok(None),
        }
    }
}
