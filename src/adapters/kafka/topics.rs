//! The topics: are they there? In development they can be made.

use super::Error;
use super::security::{Link, ask};
use super::settings::KafkaSettings;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::task::spawn_blocking;

/// The worker's topics.
pub struct Topics;

impl KafkaSettings {
    /// Bytes of the largest record that is sent, headers and framing included: what a topic has to take.
    pub fn largest_record(&self) -> u64 {
        const OVERHEAD: u64 = 16 * 1024;
        u64::from(self.max_value_bytes) + OVERHEAD
    }

    /// The command that makes this topic on so many brokers.
    pub fn creating(&self, topic: &str, brokers: usize) -> String {
        /// What a broker allows by itself.
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
    /// Fails with the commands to run when one of these topics is missing. Asks for the whole list, since
    /// asking for a topic by name may create it.
    pub async fn check(settings: &KafkaSettings, names: &[&str]) -> Result<(), Error> {
        let settings = settings.clone();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        spawn_blocking(move || {
            const ASK: Duration = Duration::from_secs(10);
            let client: BaseConsumer<Link> = settings
                .client()?
                .create_with_context(settings.link())
                .map_err(|error: KafkaError| Error::Setup(format!("[kafka]: {error}")))?;
            let metadata = ask(&client, ASK, |client, patience| client.fetch_metadata(None, patience))?;
            let present: BTreeSet<&str> =
                metadata.topics().iter().map(rdkafka::metadata::MetadataTopic::name).collect();
            let missing: Vec<&String> = names.iter().filter(|name| !present.contains(name.as_str())).collect();
            if missing.is_empty() {
                return Ok(());
            }
            let brokers = metadata.brokers().len();
            let commands: Vec<String> = missing.iter().map(|name| settings.creating(name, brokers)).collect();
            Err(Error::Setup(format!("topics are missing; create them:\n  {}", commands.join("\n  "))))
        })
        .await
        .map_err(|error| Error::Fatal(error.to_string()))?
    }

    /// Makes the topics that are missing: for development and tests.
    pub async fn ensure(settings: &KafkaSettings, partitions: i32) -> Result<(), Error> {
        if settings.security.by_token() {
            // The client library gives an admin client no token.
            return Err(Error::Setup("topics cannot be made with OAUTHBEARER; make them as another user".to_owned()));
        }
        let admin: AdminClient<Link> = settings
            .client()?
            .create_with_context(settings.link())
            .map_err(|error: KafkaError| Error::Setup(format!("[kafka]: {error}")))?;
        let names = settings.topics.with_optional();
        let new: Vec<NewTopic<'_>> =
            names.iter().map(|name| NewTopic::new(name, partitions, TopicReplication::Fixed(1))).collect();
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
        let made = admin.create_topics(&new, &options).await.map_err(|error| Error::Unavailable(error.to_string()))?;
        for result in made {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, error)) => return Err(Error::Unavailable(format!("cannot create {name}: {error}"))),
            }
        }
        Ok(())
    }
}
