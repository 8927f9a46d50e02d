//! Whether a broker replies, for the worker's readiness.

use super::Error;
use super::query::{QueryClient, blocking, query};
use super::settings::KafkaSettings;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use std::sync::Arc;
use std::time::Duration;

/// A client that reads no records; cheap to clone.
#[derive(Clone)]
pub struct BrokerProbe {
    client: Arc<QueryClient>,
    topic: String,
}

impl BrokerProbe {
    /// Makes the client; connects to no broker yet.
    pub fn open(settings: &KafkaSettings) -> Result<Self, Error> {
        // A query for a topic by name must not create it.
        let mut config = settings.client()?;
        config.set("allow.auto.create.topics", "false");
        let client = config.create_with_context(settings.context()).map_err(|error| Error::setup(&error))?;
        Ok(Self { client: Arc::new(client), topic: settings.topics.lifecycle.clone() })
    }

    /// Queries one topic, which takes a broker's reply, within two seconds.
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
