//! Queries to the brokers. The client library's own calls block, and a broker's refusal comes out of them as a
//! time-out. Here they run on a thread that may block, and a refusal is returned as one.

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

/// Patience of one call; the client handles its events for `EVENTS` before and after it.
const CALL: Duration = Duration::from_millis(500);
const EVENTS: Duration = Duration::from_millis(20);
/// One of several brokers may refuse for so long before another one replies.
const SETTLING: Duration = Duration::from_secs(2);

pub(super) const REQUEST: Duration = Duration::from_secs(10);
/// A broker that has just started, or taken over a group, first loads the offsets: it is asked again, after a pause.
const LOADING: Duration = Duration::from_secs(30);
const LOADING_TRIES: u32 = 120;
const LOADING_PAUSE: Duration = Duration::from_millis(250);

/// A consumer that never joins its group.
pub(super) type QueryClient = BaseConsumer<BrokerContext>;

impl KafkaSettings {
    pub(super) fn query_client(&self) -> Result<QueryClient, Error> {
        self.client()?.create_with_context(self.context()).map_err(|error| Error::setup(&error))
    }

    /// The same, for queries about the group of these settings.
    pub(super) fn group_client(&self) -> Result<QueryClient, Error> {
        self.consumer("error")?.create_with_context(self.context()).map_err(|error| Error::setup(&error))
    }

    /// Fails with `by_token` under OAUTHBEARER, since the client library gives an admin client no token.
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

/// Repeats `call` until it succeeds, for `patience` at the most. The client gets a token, and notices that a broker
/// refuses us, only while it handles its events.
pub(super) fn query<T>(
    client: &QueryClient,
    patience: Duration,
    mut call: impl FnMut(&QueryClient, Duration) -> KafkaResult<T>,
) -> Result<T, Error> {
    let stopwatch = Stopwatch::start();
    loop {
        // Nothing is assigned, so that no record can come.
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

/// All partitions of a topic; none where the topic does not exist.
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

/// The same from a member's own client, whose events nobody handles meanwhile.
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

/// One request. Where the broker is still loading, the error comes after a pause.
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
