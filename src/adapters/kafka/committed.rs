//! The offsets that a group has committed. A broker that has just started, or taken over a group, first loads
//! them: it is asked again, after a pause, until it knows.

use super::Error;
use super::query::{QueryClient, partitions, query};
use super::settings::KafkaSettings;
use rdkafka::consumer::{Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use std::time::Duration;

/// Patience of one request to a broker.
pub(super) const REQUEST: Duration = Duration::from_secs(10);
const LOADING: Duration = Duration::from_secs(30);
const LOADING_TRIES: u32 = 120;
const LOADING_PAUSE: Duration = Duration::from_millis(250);

/// Whether the group has committed an offset of any partition of this topic.
pub(super) fn has_committed(settings: &KafkaSettings, topic: &str) -> Result<bool, Error> {
    let client = settings.group_client()?;
    let metadata = query(&client, REQUEST, |client, patience| client.fetch_metadata(Some(topic), patience))?;
    let committed = committed(&client, &partitions(&metadata, topic))?;
    Ok(committed.elements().iter().any(|element| matches!(element.offset(), Offset::Offset(_))))
}

/// What the group has committed of these partitions.
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
