//! The consumers: a member of a group, which stores an offset only when told to; and a reader outside any group.
//!
//! Guarantees: a record that was read before a rebalance stores no offset, even if this member got the partition back:
//! another member may have stored a later offset in between. The current holder of the partition reads the record
//! again.

use super::Error;
use super::inbound::{Inbound, PartBounds};
use super::lag::{LOOK_EVERY_MS, Lag};
use super::membership::Membership;
use super::query::{QueryClient, REQUEST, blocking, has_committed, partitions, query};
use super::security::BrokerContext;
use super::settings::{KafkaSettings, StartAt};
use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::task::spawn_blocking;
use tracing::{debug, info};

/// A batch takes no further record once its records have this many bytes in all, as the client library unpacked them.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

pub struct Inbox {
    consumer: StreamConsumer<Membership>,
    group: String,
    /// Records that arrived during `idle`; the next batch begins with them.
    waiting: VecDeque<Inbound>,
    paused: bool,
}

impl Inbox {
    /// Joins the group on the topic of requests. A group that has never committed needs `from`; afterwards a partition
    /// without a committed offset starts at its beginning, and a committed offset that the topic no longer holds is an
    /// error.
    pub async fn subscribe(settings: &KafkaSettings) -> Result<Self, Error> {
        Self::join(settings.clone(), settings.topics.requests.clone()).await
    }

    /// Joins a group of its own on the registry's topic. If this group has never committed, it starts with the oldest
    /// event: events that are applied twice change nothing.
    pub async fn subscribe_to_registry(settings: &KafkaSettings) -> Result<Self, Error> {
        let group_id = format!("{}-registry", settings.group_id);
        let own = KafkaSettings { group_id, from: Some(StartAt::Earliest), ..settings.clone() };
        Self::join(own, settings.topics.registry_lifecycle.clone()).await
    }

    async fn join(settings: KafkaSettings, topic: String) -> Result<Self, Error> {
        blocking(move || {
            let from = match settings.from {
                _ if has_committed(&settings, &topic)? => StartAt::Earliest,
                Some(from) => from,
                None => {
                    return Err(Error::Setup(format!(
                        "group {:?} has never committed an offset; say where it starts: --from earliest (with the \
                         oldest record) or --from latest (with the next one)",
                        settings.group_id
                    )));
                }
            };
            let membership = Membership::new(from, settings.context());
            let mut config = settings.consumer("error")?;
            config.set("statistics.interval.ms", LOOK_EVERY_MS);
            let consumer: StreamConsumer<Membership> =
                config.create_with_context(membership).map_err(|error| Error::setup(&error))?;
            consumer.subscribe(&[&topic]).map_err(|error| Error::setup(&error))?;
            info!(kafka.group = settings.group_id, kafka.topic = topic, "joined");
            Ok(Self { consumer, group: settings.group_id, waiting: VecDeque::new(), paused: false })
        })
        .await
    }

    pub fn lag(&self) -> Lag {
        self.consumer.context().lag.clone()
    }

    pub fn group(&self) -> &str {
        &self.group
    }

    /// Waits up to `patience` for a first record, then adds records that are there already, up to `most`, and until
    /// their sum is `BATCH_BYTES`.
    pub async fn next_batch(&mut self, most: usize, patience: Duration) -> Result<Vec<Inbound>, Error> {
        const LINGER: Duration = Duration::from_millis(5);
        self.resume();
        let rebalances = self.consumer.context().rebalances();
        // Records read before the last rebalance are dropped: the partition's current holder reads them again.
        self.waiting.retain(|record| record.assignment == rebalances);
        let (mut batch, mut bytes): (Vec<Inbound>, usize) = (Vec::new(), 0);
        while batch.len() < most && bytes < BATCH_BYTES {
            let record = if let Some(record) = self.waiting.pop_front() {
                record
            } else {
                let wait = if batch.is_empty() { patience } else { LINGER };
                match tokio::time::timeout(wait, self.consumer.recv()).await {
                    Ok(Ok(message)) => {
                        let rebalances = self.consumer.context().rebalances();
                        Inbound::read(&message, rebalances, PartBounds::FOREIGN)
                    }
                    Ok(Err(error)) if batch.is_empty() => return Err(self.error(&error)),
                    // First return the records at hand; an error that lasts is reported by the next call.
                    Ok(Err(_)) | Err(_) => break,
                }
            };
            bytes += record.unpacked_bytes();
            batch.push(record);
        }
        Ok(batch)
    }

    /// Stays in the group for this long without returning records. Fetching is paused until the next batch, so that few
    /// records pile up in `waiting` however often this is called.
    pub async fn idle(&mut self, pause: Duration) {
        self.pause();
        let until = tokio::time::sleep(pause);
        tokio::pin!(until);
        loop {
            tokio::select! {
                () = &mut until => return,
                received = self.consumer.recv() => match received {
                    Ok(message) => {
                        let rebalances = self.consumer.context().rebalances();
                        let record = Inbound::read(&message, rebalances, PartBounds::FOREIGN);
                        self.waiting.push_back(record);
                        // This partition was assigned after the pause and is not paused yet.
                        self.pause();
                    }
                    Err(error) => debug!(%error, "while idle"),
                },
            }
        }
    }

    fn pause(&mut self) {
        self.paused = true;
        if let Err(error) = self.consumer.assignment().and_then(|assigned| self.consumer.pause(&assigned)) {
            debug!(%error, "not paused");
        }
    }

    fn resume(&mut self) {
        if !self.paused {
            return;
        }
        match self.consumer.assignment().and_then(|assigned| self.consumer.resume(&assigned)) {
            Ok(()) => self.paused = false,
            Err(error) => debug!(%error, "not resumed; the next batch tries again"),
        }
    }

    /// Stores these records' offsets for the next commit, except for records that were read before the last rebalance.
    pub fn settle<'a>(&self, records: impl IntoIterator<Item = &'a Inbound>) -> Result<(), Error> {
        let rebalances = self.consumer.context().rebalances();
        let mut next: BTreeMap<(&str, i32), i64> = BTreeMap::new();
        for record in records.into_iter().filter(|record| record.assignment == rebalances) {
            let at = next.entry((&record.topic, record.partition)).or_default();
            *at = (*at).max(record.offset + 1);
        }
        for ((topic, partition), offset) in next {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(topic, partition, Offset::Offset(offset)).map_err(|error| self.error(&error))?;
            match self.consumer.store_offsets(&list) {
                Ok(()) => {}
                Err(KafkaError::StoreOffset(
                    RDKafkaErrorCode::State | RDKafkaErrorCode::UnknownPartition | RDKafkaErrorCode::AssignmentLost,
                )) => {
                    debug!(kafka.topic = topic, kafka.partition = partition, "partition moved before it was settled");
                }
                Err(error) => return Err(self.error(&error)),
            }
        }
        Ok(())
    }

    /// Commits the stored offsets and leaves the group. Takes at most ten seconds, so that a silent broker holds up no
    /// shutdown.
    pub async fn close(self) {
        const BOUND: Duration = Duration::from_secs(10);
        let leaving = spawn_blocking(move || {
            match self.consumer.commit_consumer_state(CommitMode::Sync) {
                Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
                Err(error) => debug!(%error, "the last commit was not acknowledged; its records will come again"),
            }
            drop(self);
        });
        let _ = tokio::time::timeout(BOUND, leaving).await;
    }

    fn error(&self, error: &KafkaError) -> Error {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset) => Error::Setup(format!(
                "group {:?} stands where its topic has no records, behind its retention or beyond its end ({error}); \
                 `model-factory doctor` says which, and prints the command that sets it right",
                self.group
            )),
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Error::Setup(format!(
                "a topic of group {:?} is gone ({error}); `model-factory doctor` prints the command that makes it",
                self.group
            )),
            Some(RDKafkaErrorCode::Fatal) => Error::Fatal(error.to_string()),
            Some(_) | None => Error::Unavailable(self.consumer.context().brokers.explain(error)),
        }
    }
}

/// Reads one topic outside any group and commits nothing.
pub struct Follower {
    consumer: StreamConsumer<BrokerContext>,
}

impl Follower {
    /// Starts at the current end of every partition.
    pub async fn at_end(settings: &KafkaSettings, topic: &str) -> Result<Self, Error> {
        let (settings, topic) = (settings.clone(), topic.to_owned());
        blocking(move || {
            let mut config = settings.consumer("error")?;
            config.set("group.id", "model-factory-follower").set("enable.auto.commit", "false");
            let unavailable = |error: KafkaError| Error::unavailable(&error);
            let client: QueryClient = config.create_with_context(settings.context()).map_err(unavailable)?;
            let metadata = query(&client, REQUEST, |client, patience| client.fetch_metadata(Some(&topic), patience))?;
            let mut ends = TopicPartitionList::new();
            for element in partitions(&metadata, &topic).elements() {
                let partition = element.partition();
                let (_, end) =
                    query(&client, REQUEST, |client, patience| client.fetch_watermarks(&topic, partition, patience))?;
                ends.add_partition_offset(&topic, partition, Offset::Offset(end)).map_err(unavailable)?;
            }
            let consumer: StreamConsumer<BrokerContext> =
                config.create_with_context(settings.context()).map_err(unavailable)?;
            consumer.assign(&ends).map_err(unavailable)?;
            Ok(Self { consumer })
        })
        .await
    }

    /// The next record; `None` if none arrives within `patience`.
    pub async fn next(&self, patience: Duration) -> Result<Option<Inbound>, Error> {
        match tokio::time::timeout(patience, self.consumer.recv()).await {
            Ok(Ok(message)) => Ok(Some(Inbound::read(&message, 0, PartBounds::OURS))),
            Ok(Err(error)) => Err(Error::Unavailable(self.consumer.context().explain(&error))),
            Err(_) => Ok(None),
        }
    }
}
