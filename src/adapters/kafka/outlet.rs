//! The producer: idempotent, acknowledged by all replicas.

use super::Error;
use super::security::BrokerContext;
use super::settings::KafkaSettings;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use std::time::Duration;
use tokio::task::spawn_blocking;

#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    pub topic: &'a str,
    pub key: Option<&'a [u8]>,
    pub value: &'a [u8],
    pub headers: &'a [(String, Vec<u8>)],
}

/// A producer; clones share it.
#[derive(Clone)]
pub struct Outlet {
    producer: FutureProducer<BrokerContext>,
    brokers: BrokerContext,
}

impl Outlet {
    /// Creates the producer without connecting to a broker.
    pub fn open(settings: &KafkaSettings) -> Result<Self, Error> {
        let brokers = settings.context();
        let producer =
            settings.producer()?.create_with_context(brokers.clone()).map_err(|error| Error::setup(&error))?;
        Ok(Self { producer, brokers })
    }

    /// Sends the record and waits for its delivery report; returns partition and offset.
    pub async fn send(&self, record: Record<'_>) -> Result<(i32, i64), Error> {
        const QUEUE: Duration = Duration::from_secs(10);
        let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
        for (name, value) in record.headers {
            headers = headers.insert(Header { key: name, value: Some(value) });
        }
        let mut future = FutureRecord::<[u8], [u8]>::to(record.topic).payload(record.value).headers(headers);
        if let Some(key) = record.key {
            future = future.key(key);
        }
        match self.producer.send(future, QUEUE).await {
            Ok(delivery) => Ok((delivery.partition, delivery.offset)),
            Err((error, _)) => Err(self.error(&error)),
        }
    }

    /// Waits for the records in flight, at most ten seconds.
    pub async fn close(self) {
        const BOUND: Duration = Duration::from_secs(10);
        let flushing = spawn_blocking(move || {
            let _ = self.producer.flush(BOUND);
        });
        let _ = flushing.await;
    }

    fn error(&self, error: &KafkaError) -> Error {
        if let Some((_, why)) = self.producer.client().fatal_error() {
            return Error::Fatal(why);
        }
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessage) => {
                Error::Setup(format!("the broker refuses the record: {error}"))
            }
            Some(_) | None => Error::Unavailable(self.brokers.explain(error)),
        }
    }
}
