//! Reads a topic from where it ends now, outside any group: for people who watch.

use super::Error;
use super::inbox::{Inbound, owned};
use super::security::{Link, ask};
use super::settings::KafkaSettings;
use rdkafka::consumer::{BaseConsumer, Consumer as _, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use std::time::Duration;
use tokio::task::spawn_blocking;

/// A reader of one topic that commits nothing.
pub struct Follower {
    consumer: StreamConsumer<Link>,
}

impl Follower {
    /// Starts at the present end of every partition.
    pub async fn at_end(settings: &KafkaSettings, topic: &str) -> Result<Self, Error> {
        const ASK: Duration = Duration::from_secs(10);
        let (settings, topic) = (settings.clone(), topic.to_owned());
        let unavailable = |error: KafkaError| Error::Unavailable(error.to_string());
        spawn_blocking(move || {
            let mut config = settings.consumer("error")?;
            config.set("group.id", "model-factory-follower").set("enable.auto.commit", "false");
            let asking: BaseConsumer<Link> = config.create_with_context(settings.link()).map_err(unavailable)?;
            let metadata = ask(&asking, ASK, |client, patience| client.fetch_metadata(Some(&topic), patience))?;
            let mut list = TopicPartitionList::new();
            for partition in metadata.topics().iter().flat_map(rdkafka::metadata::MetadataTopic::partitions) {
                let (_, end) =
                    ask(&asking, ASK, |client, patience| client.fetch_watermarks(&topic, partition.id(), patience))?;
                list.add_partition_offset(&topic, partition.id(), Offset::Offset(end)).map_err(unavailable)?;
            }
            let consumer: StreamConsumer<Link> = config.create_with_context(settings.link()).map_err(unavailable)?;
            consumer.assign(&list).map_err(unavailable)?;
            Ok(Self { consumer })
        })
        .await
        .map_err(|error| Error::Fatal(error.to_string()))?
    }

    /// The next record, or none within `patience`.
    pub async fn next(&self, patience: Duration) -> Result<Option<Inbound>, Error> {
        match tokio::time::timeout(patience, self.consumer.recv()).await {
            Ok(Ok(message)) => Ok(Some(owned(&message))),
            Ok(Err(error)) => Err(Error::Unavailable(self.consumer.context().explain(&error))),
            Err(_) => Ok(None),
        }
    }
}
