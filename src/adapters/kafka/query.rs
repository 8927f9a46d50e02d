//! Queries to the brokers. The client library's calls block, and report a refused connection as a time-out. These
//! functions make the calls on a thread that may block, and return a refusal as such.

use super::Error;
use super::security::BrokerContext;
use super::settings::KafkaSettings;
use crate::clock::Stopwatch;
use rdkafka::admin::AdminClient;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::{Offset, TopicPartitionList};
use std::time::Duration;
use tokio::task::spawn_blocking;

/// Time limit of one call to the client library; before and after it, the client handles events for up to `EVENTS`.
const CALL: Duration = Duration::from_millis(500);
const EVENTS: Duration = Duration::from_millis(20);
/// A refusal by one broker counts only after this time, since another broker may still reply.
const SETTLING: Duration = Duration::from_secs(2);

pub(super) const REQUEST: Duration = Duration::from_secs(10);
/// How long to ask again while a broker still loads the consumer group's offsets, as after its start or a change of
/// coordinator.
const LOADING: Duration = Duration::from_secs(30);
const LOADING_TRIES: u32 = 120;
const LOADING_PAUSE: Duration = Duration::from_millis(250);

/// A consumer that joins no consumer group.
pub(super) type QueryClient = BaseConsumer<BrokerContext>;

impl KafkaSettings {
    pub(super) fn query_client(&self) -> Result<QueryClient, Error> {
        self.client()?.create_with_context(self.context()).map_err(|error| Error::setup(&error))
    }

    /// Creates a client for queries about the consumer group of these settings.
    pub(super) fn group_client(&self) -> Result<QueryClient, Error> {
        self.consumer("error")?.create_with_context(self.context()).map_err(|error| Error::setup(&error))
    }

    /// Creates an admin client. Fails with the message `by_token` under OAUTHBEARER, since the client library gives an
    /// admin client no token.
    pub(super) fn admin_client(&self, by_token: &str) -> Result<AdminClient<BrokerContext>, Error> {
        if self.security.by_token() {
            return Err(Error::Setup(by_token.to_owned()));
        }
        self.client()?.create_with_context(self.context()).map_err(|error| Error::setup(&error))
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    calls: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    spawn_blocking(calls).await.map_err(|error| Error::Fatal(error.to_string()))?
}

/// Repeats `call` until it succeeds, for at most `patience`. Between calls the client handles its events: only then
/// does it get a token, or notice that a broker refuses it.
pub(super) fn query<T>(
    client: &QueryClient,
    patience: Duration,
    mut call: impl FnMut(&QueryClient, Duration) -> KafkaResult<T>,
) -> Result<T, Error> {
    let stopwatch = Stopwatch::start();
    loop {
        // No partition is assigned, so that no record can be lost here.
        while client.poll(EVENTS).is_some() {}
        let error = match call(client, CALL) {
            Ok(reply) => return Ok(reply),
            Err(error) => error,
        };
        while client.poll(EVENTS).is_some() {}
        let waited = stopwatch.elapsed();
        match client.context().denied() {
            Some(denial) if waited >= patience || denial.is_certain() && waited >= SETTLING => {
                return Err(Error::Denied(client.context().with_cause(denial)));
            }
            None if waited >= patience => return Err(client.context().unreachable(&error)),
            Some(_) | None => {}
        }
    }
}

/// Returns all partitions of a topic; empty if the topic does not exist.
pub(super) fn partitions(metadata: &Metadata, topic: &str) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for found in metadata.topics().iter().filter(|found| found.name() == topic) {
        for partition in found.partitions() {
            list.add_partition(topic, partition.id());
        }
    }
    list
}

pub(super) fn has_committed(settings: &KafkaSettings, topic: &str) -> Result<bool, Error> {
    let client = settings.group_client()?;
    let metadata = query(&client, REQUEST, |client, patience| client.fetch_metadata(Some(topic), patience))?;
    let committed = committed(&client, &partitions(&metadata, topic))?;
    Ok(committed.elements().iter().any(|element| matches!(element.offset(), Offset::Offset(_))))
}

pub(super) fn committed(client: &QueryClient, list: &TopicPartitionList) -> Result<TopicPartitionList, Error> {
    query(client, LOADING, |client, patience| fetch(client, list, patience))
}

/// Reads the consumer group's committed offsets with a member's own client, without handling that client's events.
pub(super) fn committed_of_member<C: ConsumerContext>(
    consumer: &impl Consumer<C>,
    list: &TopicPartitionList,
) -> KafkaResult<TopicPartitionList> {
    let mut tries = 0;
    loop {
        match fetch(consumer, list, REQUEST) {
            Err(error) if is_loading(&error) && tries < LOADING_TRIES => tries += 1,
            fetched => return fetched,
        }
    }
}

/// Asks once for the consumer group's committed offsets. Pauses before returning an error if the broker still loads
/// them.
fn fetch<C: ConsumerContext>(
    consumer: &impl Consumer<C>,
    list: &TopicPartitionList,
    patience: Duration,
) -> KafkaResult<TopicPartitionList> {
    let fetched = consumer.committed_offsets(list.clone(), patience);
    if fetched.as_ref().is_err_and(is_loading) {
        std::thread::sleep(LOADING_PAUSE);
    }
    fetched
}

fn is_loading(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::CoordinatorLoadInProgress
        )
    )
}
