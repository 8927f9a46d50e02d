//! Two consumers. `Inbox` is a member of a consumer group and stores an offset only when its caller settles records.
//! `Follower` reads outside any consumer group.
//!
//! Guarantees: a partition is read only after `begin_at` has placed it, and from the offset given there; a new
//! assignment begins unpaused. A record that was read before a rebalance stores no offset, even if this member got the
//! partition back: another member may have stored a later offset in between. The current holder of the partition reads
//! the record again.

use super::Error;
use super::assigned::{AssignedPartition, ReadFrom, standings};
use super::inbound::{Inbound, PartBounds};
use super::lag::{LOOK_EVERY_MS, Lag};
use super::membership::Membership;
use super::query::{QueryClient, REQUEST, blocking, has_committed, partitions, query};
use super::security::BrokerContext;
use super::settings::{KafkaSettings, StartAt};
use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_blocking;
use tracing::{debug, info};

/// A batch takes no further record once its records have this many bytes in all, as the client library unpacked them.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

pub struct Inbox {
    consumer: Arc<StreamConsumer<Membership>>,
    group: String,
    topic: String,
    /// Where the consumer group starts if it has never committed. `None` if it has, or if the configuration does not
    /// say.
    from: Option<StartAt>,
    has_committed: bool,
    /// Text that is committed with each offset: it names the ledger that decided the records before the offset.
    mark: String,
    /// The partitions that are read in `generation`.
    placed: BTreeMap<i32, Placed>,
    generation: u64,
    /// Records that arrived during `idle`; the next batch begins with them.
    waiting: VecDeque<Inbound>,
    paused: bool,
}

struct Placed {
    start: ReadFrom,
    /// The offset after the last record that was returned.
    next: i64,
    /// The offset that is stored for the next commit.
    settled: i64,
}

impl Inbox {
    /// Joins the consumer group on the request topic.
    pub async fn subscribe(settings: &KafkaSettings) -> Result<Self, Error> {
        Self::join(settings.clone(), settings.topics.requests.clone()).await
    }

    /// Joins the consumer group `<group_id>-registry` on the registry's topic. If this consumer group has never
    /// committed, it starts with the oldest event: events that are applied twice change nothing.
    pub async fn subscribe_to_registry(settings: &KafkaSettings) -> Result<Self, Error> {
        let group_id = format!("{}-registry", settings.group_id);
        let own = KafkaSettings { group_id, from: Some(StartAt::Earliest), ..settings.clone() };
        Self::join(own, settings.topics.registry_lifecycle.clone()).await
    }

    async fn join(settings: KafkaSettings, topic: String) -> Result<Self, Error> {
        blocking(move || {
            let has_committed = has_committed(&settings, &topic)?;
            let mut config = settings.consumer("error")?;
            config.set("statistics.interval.ms", LOOK_EVERY_MS);
            let membership = Membership::new(settings.context());
            let consumer: StreamConsumer<Membership> =
                config.create_with_context(membership).map_err(|error| Error::setup(&error))?;
            consumer.subscribe(&[&topic]).map_err(|error| Error::setup(&error))?;
            info!(kafka.group = settings.group_id, kafka.topic = topic, "joined");
            Ok(Self {
                consumer: Arc::new(consumer),
                group: settings.group_id,
                topic,
                from: settings.from.filter(|_| !has_committed),
                has_committed,
                mark: String::new(),
                placed: BTreeMap::new(),
                generation: 0,
                waiting: VecDeque::new(),
                paused: false,
            })
        })
        .await
    }

    pub fn lag(&self) -> Lag {
        self.consumer.context().lag.clone()
    }

    pub fn group(&self) -> &str {
        &self.group
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Returns where the consumer group starts if it has never committed. `None` if it has, or if the configuration
    /// does not say.
    pub fn from(&self) -> Option<StartAt> {
        self.from
    }

    /// Returns whether the consumer group had committed an offset of the topic before this member joined.
    pub fn has_committed(&self) -> bool {
        self.has_committed
    }

    /// Returns the partitions of this member that are not read yet.
    pub fn unplaced(&mut self) -> BTreeSet<i32> {
        self.follow();
        let mut assigned = self.consumer.context().assigned();
        assigned.retain(|partition| !self.placed.contains_key(partition));
        assigned
    }

    /// Asks Kafka about the partitions that are not read yet. Stays in the consumer group meanwhile. Returns an empty
    /// list if a rebalance happened in between.
    pub async fn standings(&mut self) -> Result<Vec<AssignedPartition>, Error> {
        let (unplaced, generation) = (self.unplaced(), self.generation);
        if unplaced.is_empty() {
            return Ok(Vec::new());
        }
        let (consumer, topic) = (Arc::clone(&self.consumer), self.topic.clone());
        let found = self.attend(blocking(move || standings(&consumer, &topic, &unplaced))).await?;
        self.follow();
        Ok(if self.generation == generation { found } else { Vec::new() })
    }

    /// Reads the partitions from these offsets on. Tries to commit the offsets with the mark, so that a later member
    /// needs no `from`.
    pub fn begin_at(&mut self, starts: &[ReadFrom], mark: &str) -> Result<(), Error> {
        let unplaced = self.unplaced();
        mark.clone_into(&mut self.mark);
        let new: Vec<&ReadFrom> = starts.iter().filter(|start| unplaced.contains(&start.partition)).collect();
        for &start in &new {
            let placed = Placed { start: *start, next: start.reads_from(), settled: start.at };
            self.placed.insert(start.partition, placed);
        }
        let next = self.list(self.placed.iter().map(|(partition, placed)| (*partition, placed.next)))?;
        self.consumer.assign(&next).map_err(|error| self.error(&error))?;
        // The client library keeps a pause over an assignment.
        self.paused = true;
        self.resume();
        let begun = self.list(new.iter().map(|start| (start.partition, start.at)))?;
        if let Err(error) = self.consumer.commit(&begun, CommitMode::Async) {
            debug!(%error, "where the partitions start was not committed; the next records commit it");
        }
        Ok(())
    }

    /// Stops reading all partitions until `begin_at` places each again. Records that were returned before store no
    /// offset any more.
    pub fn displace(&mut self) -> Result<(), Error> {
        self.follow();
        self.consumer.assign(&TopicPartitionList::new()).map_err(|error| self.error(&error))?;
        self.consumer.context().begin_generation();
        self.follow();
        Ok(())
    }

    /// Drops the placements and the waiting records of an earlier generation.
    fn follow(&mut self) {
        let generation = self.consumer.context().generation();
        if self.generation != generation {
            self.generation = generation;
            self.placed.clear();
        }
        // Records of an earlier generation are dropped: the partition's current holder reads them again.
        self.waiting.retain(|record| record.generation == generation);
    }

    /// Waits up to `patience` for a first record, then adds records that are there already, up to `most` records, and
    /// until their sizes sum up to `BATCH_BYTES`.
    pub async fn next_batch(&mut self, most: usize, patience: Duration) -> Result<Vec<Inbound>, Error> {
        const LINGER: Duration = Duration::from_millis(5);
        self.resume();
        self.follow();
        let consumer = Arc::clone(&self.consumer);
        let (mut batch, mut bytes): (Vec<Inbound>, usize) = (Vec::new(), 0);
        while batch.len() < most && bytes < BATCH_BYTES {
            let record = if let Some(record) = self.waiting.pop_front() {
                Some(record)
            } else {
                let wait = if batch.is_empty() { patience } else { LINGER };
                match tokio::time::timeout(wait, consumer.recv()).await {
                    Ok(Ok(message)) => self.read(&message),
                    Ok(Err(error)) if batch.is_empty() => return Err(self.lost(&error)),
                    // First return the records at hand; an error that lasts is reported by the next call.
                    Ok(Err(_)) | Err(_) => break,
                }
            };
            bytes += record.as_ref().map_or(0, Inbound::unpacked_bytes);
            batch.extend(record);
        }
        Ok(batch)
    }

    /// Returns the record. `None` if its partition is not placed in this generation, or if it is before the start and
    /// not to be checked.
    fn read(&mut self, message: &BorrowedMessage<'_>) -> Option<Inbound> {
        let generation = self.consumer.context().generation();
        let placed = self.placed.get_mut(&message.partition()).filter(|_| generation == self.generation)?;
        let offset = message.offset();
        placed.next = placed.next.max(offset + 1);
        let is_check = offset < placed.start.at;
        let is_wanted = !is_check || placed.start.check == Some(offset);
        is_wanted.then(|| Inbound { is_check, ..Inbound::read(message, generation, PartBounds::FOREIGN) })
    }

    /// Stays in the consumer group for this long without returning records. Fetching is paused until the next batch, so
    /// that few records pile up in `waiting` however often this is called.
    pub async fn idle(&mut self, pause: Duration) {
        self.pause();
        let consumer = Arc::clone(&self.consumer);
        let until = tokio::time::sleep(pause);
        tokio::pin!(until);
        loop {
            tokio::select! {
                () = &mut until => return,
                received = consumer.recv() => match received {
                    Ok(message) => {
                        let record = self.read(&message);
                        self.waiting.extend(record);
                    }
                    Err(error) => debug!(error = %self.lost(&error), "while idle"),
                },
            }
        }
    }

    /// Waits for `work` and stays in the consumer group meanwhile: a member that polls nothing holds up every rebalance
    /// of the others. Work of less than a second does not pause fetching.
    pub async fn attend<T>(&mut self, work: impl Future<Output = T>) -> T {
        const SHORT: Duration = Duration::from_secs(1);
        tokio::pin!(work);
        if let Ok(done) = tokio::time::timeout(SHORT, &mut work).await {
            return done;
        }
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = self.idle(SHORT) => {}
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

    /// Stores the offsets after these records for the next commit, except for records of an earlier generation.
    pub fn settle<'a>(&mut self, records: impl IntoIterator<Item = &'a Inbound>) -> Result<(), Error> {
        self.follow();
        let mut next: BTreeMap<i32, i64> = BTreeMap::new();
        for record in records.into_iter().filter(|record| record.generation == self.generation) {
            let at = next.entry(record.partition).or_default();
            *at = (*at).max(record.offset + 1);
        }
        self.settle_at(next)
    }

    /// Returns partitions whose reading position is beyond what is settled, with that position: between the two, the
    /// log holds only markers of transactions and aborted records. True only while the caller holds no unsettled
    /// record.
    pub fn passed(&mut self) -> BTreeMap<i32, i64> {
        self.follow();
        let mut passed = BTreeMap::new();
        let Ok(positions) = self.consumer.position() else { return passed };
        if !self.waiting.is_empty() {
            return passed;
        }
        for element in positions.elements() {
            let (partition, Offset::Offset(position)) = (element.partition(), element.offset()) else { continue };
            if self.placed.get(&partition).is_some_and(|placed| position > placed.settled.max(placed.start.at)) {
                passed.insert(partition, position);
            }
        }
        passed
    }

    /// Stores these offsets for the next commit. Skips partitions that are not placed.
    pub fn settle_at(&mut self, next: BTreeMap<i32, i64>) -> Result<(), Error> {
        for (partition, offset) in next {
            let Some(placed) = self.placed.get_mut(&partition) else { continue };
            placed.settled = placed.settled.max(offset);
            let settled = placed.settled;
            let list = self.list([(partition, settled)])?;
            match self.consumer.store_offsets(&list) {
                Ok(()) => {}
                Err(KafkaError::StoreOffset(
                    RDKafkaErrorCode::State | RDKafkaErrorCode::UnknownPartition | RDKafkaErrorCode::AssignmentLost,
                )) => {
                    debug!(
                        kafka.topic = self.topic,
                        kafka.partition = partition,
                        "partition moved before it was settled"
                    );
                }
                Err(error) => return Err(self.error(&error)),
            }
        }
        Ok(())
    }

    /// Builds a list of the topic's partitions with these offsets and the mark.
    fn list(&self, offsets: impl IntoIterator<Item = (i32, i64)>) -> Result<TopicPartitionList, Error> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            let mut element = list.add_partition(&self.topic, partition);
            element.set_offset(Offset::Offset(offset)).map_err(|error| self.error(&error))?;
            element.set_metadata(&self.mark);
        }
        Ok(list)
    }

    /// Commits the stored offsets and leaves the consumer group. Takes at most ten seconds, so that a silent broker
    /// holds up no shutdown.
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

    /// Explains an error of reading. If the topic is gone, or has lost the offset that is read next, displaces all
    /// partitions.
    fn lost(&mut self, error: &KafkaError) -> Error {
        let why = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset) => "the topic does not hold the offset that is read next",
            Some(RDKafkaErrorCode::LogTruncation) => "the topic lost records at its end",
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                "the topic is gone; `model-factory doctor` prints the command that makes it"
            }
            Some(_) | None => return self.error(error),
        };
        match self.displace() {
            Ok(()) => Error::Unavailable(format!("group {:?}: {why} ({error})", self.group)),
            Err(error) => error,
        }
    }

    fn error(&self, error: &KafkaError) -> Error {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::Fatal) => Error::Fatal(error.to_string()),
            Some(_) | None => Error::Unavailable(self.consumer.context().brokers.explain(error)),
        }
    }
}

/// Reads one topic outside any consumer group and commits nothing.
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
