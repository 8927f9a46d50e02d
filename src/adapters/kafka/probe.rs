//! Whether the broker answers: for whoever asks if a worker can work.

use super::Error;
use super::security::{Link, ask};
use super::settings::KafkaSettings;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_blocking;

/// A client that asks and never reads; cheap to clone.
#[derive(Clone)]
pub struct BrokerProbe {
    client: Arc<BaseConsumer<Link>>,
    topic: String,
}

impl BrokerProbe {
    /// Makes the client; asks no broker yet.
    pub fn open(settings: &KafkaSettings) -> Result<Self, Error> {
        // Asking for a topic by name must not make it.
        let mut config = settings.client()?;
        config.set("allow.auto.create.topics", "false");
        let client = config
            .create_with_context(settings.link())
            .map_err(|error: KafkaError| Error::Setup(format!("[kafka]: {error}")))?;
        Ok(Self { client: Arc::new(client), topic: settings.topics.lifecycle.clone() })
    }

    /// Asks for one topic, which needs an answer from a broker, within two seconds.
    pub async fn ask(&self) -> Result<(), Error> {
        const BOUND: Duration = Duration::from_secs(2);
        let Self { client, topic } = self.clone();
        let asking = move || {
            let metadata = ask(&client, BOUND, |client, patience| client.fetch_metadata(Some(&topic), patience))?;
            match metadata.topics().first().and_then(rdkafka::metadata::MetadataTopic::error) {
                Some(error) => Err(Error::Unavailable(KafkaError::MetadataFetch(error.into()).to_string())),
                None => Ok(()),
            }
        };
        spawn_blocking(asking).await.map_err(|error| Error::Fatal(error.to_string()))?
    }
}
