//! The producer: idempotent, acknowledged by all replicas.

use super::Error;
use super::security::BrokerContext;
use super::settings::{Flow, KafkaSettings};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _, PurgeConfig};
use std::time::Duration;
use tokio::task::spawn_blocking;

#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    pub topic: &'a str,
    pub key: Option<&'a [u8]>,
    pub value: &'a [u8],
    pub headers: &'a [(String, Vec<u8>)],
}

/// A future that waits for a record's delivery report. Gives partition and offset.
pub type Handed = BoxFuture<'static, Result<(i32, i64), Error>>;

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

    /// Creates a relay's producer for one topic. The producer never gives up a record: if no delivery report comes, the
    /// caller has to abandon the whole producer.
    pub fn for_relay(settings: &KafkaSettings, flow: Flow) -> Result<Self, Error> {
        let brokers = settings.context();
        let producer = settings
            .relay_producer(flow)?
            .create_with_context(brokers.clone())
            .map_err(|error| Error::setup(&error))?;
        Ok(Self { producer, brokers })
    }

    /// Sends the record and waits for its delivery report; returns partition and offset.
    pub async fn send(&self, record: Record<'_>) -> Result<(i32, i64), Error> {
        const QUEUE: Duration = Duration::from_secs(10);
        match self.producer.send(produced(record), QUEUE).await {
            Ok(delivery) => Ok((delivery.partition, delivery.offset)),
            Err((error, _)) => Err(self.error(&error)),
        }
    }

    /// Queues the record in the client library behind earlier ones. Returns at once, with the future of the delivery
    /// report. An error means that the client library did not take the record.
    pub fn hand(&self, record: Record<'_>) -> Result<Handed, Error> {
        let report = self.producer.send_result(produced(record)).map_err(|(error, _)| self.error(&error))?;
        let brokers = self.brokers.clone();
        Ok(async move {
            match report.await {
                Ok(Ok(delivery)) => Ok((delivery.partition, delivery.offset)),
                Ok(Err((error, _))) => Err(judge(&error, &brokers)),
                Err(_) => Err(Error::Fatal("the producer was abandoned".to_owned())),
            }
        }
        .boxed())
    }

    /// Returns why the client is broken for good; `None` if it is not.
    pub fn broken(&self) -> Option<String> {
        self.producer.client().fatal_error().map(|(_, why)| why)
    }

    /// Returns the brokers' last refusal, which may be why no delivery report comes. `None` if none came in the last 45
    /// seconds.
    pub fn denied(&self) -> Option<String> {
        self.brokers.denied().map(|denial| denial.to_string())
    }

    /// Gives up every record that is not acknowledged yet, and the producer. Whether the broker has such a record stays
    /// unknown. Does not wait.
    pub fn abandon(self) {
        drop(spawn_blocking(move || {
            self.producer.purge(PurgeConfig::default().queue().inflight());
            drop(self);
        }));
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
        judge(error, &self.brokers)
    }
}

fn produced(record: Record<'_>) -> FutureRecord<'_, [u8], [u8]> {
    let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
    for (name, value) in record.headers {
        headers = headers.insert(Header { key: name, value: Some(value) });
    }
    let produced = FutureRecord::to(record.topic).payload(record.value).headers(headers);
    match record.key {
        Some(key) => produced.key(key),
        None => produced,
    }
}

fn judge(error: &KafkaError, brokers: &BrokerContext) -> Error {
    use RDKafkaErrorCode as Code;
    match error.rdkafka_error_code() {
        Some(
            Code::MessageSizeTooLarge
            | Code::MessageBatchTooLarge
            | Code::InvalidMessage
            | Code::InvalidMessageSize
            | Code::InvalidRecord
            | Code::InvalidTimestamp
            | Code::UnsupportedForMessageFormat
            | Code::PolicyViolation,
        ) => Error::Refused(error.to_string()),
        Some(Code::Fatal | Code::GaplessGuarantee | Code::PurgeQueue | Code::PurgeInflight) => {
            Error::Fatal(error.to_string())
        }
        Some(_) | None => Error::Unavailable(brokers.explain(error)),
    }
}
