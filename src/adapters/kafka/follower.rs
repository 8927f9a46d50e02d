//! Reads a topic from its present end, outside any group: for people who watch.

use super::Error;
use super::committed::REQUEST;
use super::inbound::Inbound;
use super::query::{QueryClient, blocking, partitions, query};
use super::security::BrokerContext;
use super::settings::KafkaSettings;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::{Offset, TopicPartitionList};
use std::time::Duration;

/// A reader of one topic that commits nothing.
pub struct Follower {
    consumer: StreamConsumer<BrokerContext>,
}

impl Follower {
    /// Starts at the present end of every partition.
    pub async fn at_end(settings: &KafkaSettings, topic: &str) -> Result<Self, Error> {
        let (settings, topic) = (settings.clone(), topic.to_owned());
        blocking(move || {
            let mut config = settings.consumer("error")?;
            config.set("group.id", "model-factory-follower").set("enable.auto.commit", "false");
            let client: QueryClient =
                config.create_with_context(settings.context()).map_err(|error| Error::unavailable(&error))?;
            let metadata = query(&client, REQUEST, |client, patience| client.fetch_metadata(Some(&topic), patience))?;
            let mut ends = TopicPartitionList::new();
            for element in partitions(&metadata, &topic).elements() {
                let partition = element.partition();
                let (_, end) =
                    query(&client, REQUEST, |client, patience| client.fetch_watermarks(&topic, partition, patience))?;
                ends.add_partition_offset(&topic, partition, Offset::Offset(end))
                    .map_err(|error| Error::unavailable(&error))?;
            }
            let consumer: StreamConsumer<BrokerContext> =
                config.create_with_context(settings.context()).map_err(|error| Error::unavailable(&error))?;
            consumer.assign(&ends).map_err(|error| Error::unavailable(&error))?;
            Ok(Self { consumer })
        })
        .await
    }

    /// The next record, or none within `patience`.
    pub async fn next(&self, patience: Duration) -> Result<Option<Inbound>, Error> {
        match tokio::time::timeout(patience, self.consumer.recv()).await {
            Ok(Ok(message)) => Ok(Some(Inbound::read(&message, 0))),
            Ok(Err(error)) => Err(Error::Unavailable(self.consumer.context().explain(&error))),
            Err(_) => Ok(None),
        }
    }
}
