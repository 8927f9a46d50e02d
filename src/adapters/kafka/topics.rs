//! Checks that the worker's topics exist; creates them for development and tests.

use super::Error;
use super::query::{REQUEST, blocking, query};
use super::settings::KafkaSettings;
use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::MetadataTopic;
use std::collections::BTreeSet;
use std::time::Duration;

pub struct Topics;

impl KafkaSettings {
    /// Returns the size of the largest record that is sent, in bytes, with headers and framing. A topic has to accept
    /// it.
    pub fn largest_record(&self) -> u64 {
        const OVERHEAD: u64 = 16 * 1024;
        u64::from(self.max_value_bytes) + OVERHEAD
    }

    /// Returns the shell command that creates this topic on a cluster of this many brokers.
    pub fn create_command(&self, topic: &str, brokers: usize) -> String {
        /// Kafka's default of `max.message.bytes`.
        const BY_DEFAULT: u64 = 1_048_588;
        let largest = self.largest_record();
        let size = if largest > BY_DEFAULT { format!(" --config max.message.bytes={largest}") } else { String::new() };
        format!(
            "kafka-topics.sh --bootstrap-server {} --create --topic {topic} --partitions 12 --replication-factor {} \
             --config cleanup.policy=delete{size}",
            self.brokers,
            brokers.clamp(1, 3)
        )
    }
}

impl Topics {
    /// Fails if one of these topics is missing, with the commands that create it. Fetches all topics, since a query for
    /// one topic by its name may create it.
    pub async fn check(settings: &KafkaSettings, names: &[&str]) -> Result<(), Error> {
        let settings = settings.clone();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        blocking(move || {
            let client = settings.query_client()?;
            let metadata = query(&client, REQUEST, |client, patience| client.fetch_metadata(None, patience))?;
            let present: BTreeSet<&str> = metadata.topics().iter().map(MetadataTopic::name).collect();
            let missing: Vec<&String> = names.iter().filter(|name| !present.contains(name.as_str())).collect();
            if missing.is_empty() {
                return Ok(());
            }
            let brokers = metadata.brokers().len();
            let commands: Vec<String> = missing.iter().map(|name| settings.create_command(name, brokers)).collect();
            Err(Error::Setup(format!("topics are missing; create them:\n  {}", commands.join("\n  "))))
        })
        .await
    }

    pub async fn ensure(settings: &KafkaSettings, partitions: i32) -> Result<(), Error> {
        let admin = settings.admin_client("topics cannot be made with OAUTHBEARER; make them as another user")?;
        let names = settings.topics.with_optional();
        let new: Vec<NewTopic<'_>> =
            names.iter().map(|name| NewTopic::new(name, partitions, TopicReplication::Fixed(1))).collect();
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
        let made = admin.create_topics(&new, &options).await.map_err(|error| Error::unavailable(&error))?;
        for result in made {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, error)) => return Err(Error::Unavailable(format!("cannot create {name}: {error}"))),
            }
        }
        Ok(())
    }
}
