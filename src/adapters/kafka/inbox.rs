//! The consumer: owned records out, offsets stored when the caller says so.
//!
//! Guarantees: a record that was read before a rebalance moves no offset after it, not even where its
//! partition came back. Another member may have gone further in the meantime; whoever holds the partition
//! now sees the record again.

use super::Error;
use super::lag::{LOOK_EVERY_MS, Lag};
use super::security::{Link, ask};
use super::settings::{KafkaSettings, StartAt};
use crate::telemetry::metrics::{self, Change};
use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::spawn_blocking;
use tracing::{debug, error, info, warn};

/// A record, owned.
#[derive(Debug, Clone)]
pub struct Inbound {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value; empty where the record has none.
    pub value: Vec<u8>,
    /// Headers, as text where they are.
    pub headers: BTreeMap<String, String>,
    /// Rebalances that this member had seen when it read the record.
    assignment: u64,
}

/// What happens to a member when its group shares the partitions anew.
struct Membership {
    /// Each takes every partition away before it gives some back.
    rebalances: AtomicU64,
    /// Where a partition starts that the group never committed, at the first assignment of the group's first
    /// members. Later such a partition is new or has had no record, and starts at its beginning.
    from: StartAt,
    begun: AtomicBool,
    link: Link,
    lag: Lag,
}

impl Membership {
    fn new(from: StartAt, link: Link) -> Self {
        Self { rebalances: AtomicU64::new(0), from, begun: AtomicBool::new(false), link, lag: Lag::default() }
    }

    fn seen(&self) -> u64 {
        self.rebalances.load(Ordering::SeqCst)
    }

    /// Where those of these partitions start that the group never committed.
    fn starts(&self, consumer: &BaseConsumer<Self>, assigned: &TopicPartitionList) -> KafkaResult<TopicPartitionList> {
        let mut starts = TopicPartitionList::new();
        let mut asked = 0;
        let committed = loop {
            match ask_committed(consumer, assigned, ASK) {
                Err(error) if is_loading(&error) && asked < LOADING_ASKS => asked += 1,
                answer => break answer?,
            }
        };
        for element in committed.elements() {
            element.error()?;
            if matches!(element.offset(), Offset::Offset(_)) {
                continue;
            }
            let (low, high) = consumer.fetch_watermarks(element.topic(), element.partition(), ASK)?;
            let at = match self.from {
                StartAt::Latest if !self.begun.load(Ordering::SeqCst) => high,
                StartAt::Latest | StartAt::Earliest => low,
            };
            starts.add_partition_offset(element.topic(), element.partition(), Offset::Offset(at))?;
        }
        self.begun.store(true, Ordering::SeqCst);
        Ok(starts)
    }

    /// Takes these partitions. The group commits at once where it starts, so that the next member does not have
    /// to be told.
    fn take(&self, consumer: &BaseConsumer<Self>, assigned: &mut TopicPartitionList) -> KafkaResult<()> {
        let starts = self.starts(consumer, assigned).unwrap_or_else(|error| {
            warn!(%error, "where the group stands could not be asked; the client library asks again");
            TopicPartitionList::new()
        });
        for start in starts.elements() {
            assigned.set_partition_offset(start.topic(), start.partition(), start.offset())?;
        }
        consumer.assign(assigned)?;
        if starts.count() > 0 {
            consumer.store_offsets(&starts)?;
        }
        Ok(())
    }
}

impl ClientContext for Membership {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = Link::ENABLE_REFRESH_OAUTH_TOKEN;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.link.read_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.link.hear(&error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        self.lag.hear(&statistics);
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.link.token()
    }
}

/// Called while the consumer is asked for a record, so never while offsets are being settled.
impl ConsumerContext for Membership {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, change: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        self.rebalances.fetch_add(1, Ordering::SeqCst);
        let (change, done) = match change {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.lag.hold(partitions);
                (Change::Assigned, self.take(consumer, partitions))
            }
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => {
                self.lag.let_go();
                (Change::Revoked, consumer.unassign())
            }
            _ => {
                self.lag.let_go();
                (Change::Failed, consumer.unassign())
            }
        };
        let count = partitions.count();
        info!(
            kafka.change = change.as_str(),
            kafka.partitions = count,
            ?partitions,
            "the group shares the partitions anew"
        );
        metrics::REBALANCES.count(change);
        if let Err(error) = done {
            error!(%error, "the change could not be followed; the group will share the partitions again");
        }
    }
}

/// A member of the consumer group.
pub struct Inbox {
    consumer: StreamConsumer<Membership>,
    group: String,
    /// Records that came while the inbox was only kept alive.
    waiting: VecDeque<Inbound>,
    paused: bool,
}

const ASK: Duration = Duration::from_secs(10);
/// How long, how often, and after which pause, a broker that is still loading is asked again.
const LOADING: Duration = Duration::from_secs(30);
const LOADING_ASKS: u32 = 120;
const LOADING_PAUSE: Duration = Duration::from_millis(250);

impl Inbox {
    /// Joins the group. A group that never committed needs `from`; once it has, a partition that it never
    /// committed starts at its beginning, and an offset that is gone is an error and never a silent jump.
    pub async fn subscribe(settings: &KafkaSettings) -> Result<Self, Error> {
        Self::join(settings.clone(), settings.topics.requests.clone()).await
    }

    /// Joins a group of its own on the registry's topic. A group that never committed starts with the oldest
    /// event: one that is read again changes nothing.
    pub async fn subscribe_to_registry(settings: &KafkaSettings) -> Result<Self, Error> {
        let group_id = format!("{}-registry", settings.group_id);
        let own = KafkaSettings { group_id, from: Some(StartAt::Earliest), ..settings.clone() };
        Self::join(own, settings.topics.registry_lifecycle.clone()).await
    }

    async fn join(settings: KafkaSettings, topic: String) -> Result<Self, Error> {
        // Making clients and asking brokers blocks.
        spawn_blocking(move || {
            let from = match settings.from {
                _ if has_committed(&settings, &topic)? => StartAt::Earliest,
                Some(from) => from,
                None => return Err(never_committed(&settings.group_id)),
            };
            let membership = Membership::new(from, settings.link());
            let mut config = settings.consumer("error")?;
            config.set("statistics.interval.ms", LOOK_EVERY_MS);
            let consumer: StreamConsumer<Membership> =
                config.create_with_context(membership).map_err(|error| setup(&error))?;
            consumer.subscribe(&[&topic]).map_err(|error| setup(&error))?;
            info!(kafka.group = settings.group_id, kafka.topic = topic, "joined");
            Ok(Self { consumer, group: settings.group_id, waiting: VecDeque::new(), paused: false })
        })
        .await
        .map_err(|error| Error::Fatal(error.to_string()))?
    }

    /// How far the group is behind on what this member holds.
    pub fn lag(&self) -> Lag {
        self.consumer.context().lag.clone()
    }

    /// The consumer group.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// Waits up to `patience` for a first record, then takes what else is there, up to `most`.
    pub async fn next_batch(&mut self, most: usize, patience: Duration) -> Result<Vec<Inbound>, Error> {
        const LINGER: Duration = Duration::from_millis(5);
        self.resume();
        let seen = self.consumer.context().seen();
        // The others come again, to whoever holds their partition now.
        self.waiting.retain(|record| record.assignment == seen);
        let mut batch: Vec<Inbound> = Vec::new();
        while batch.len() < most {
            if let Some(record) = self.waiting.pop_front() {
                batch.push(record);
                continue;
            }
            let wait = if batch.is_empty() { patience } else { LINGER };
            match tokio::time::timeout(wait, self.consumer.recv()).await {
                Ok(Ok(message)) => batch.push(self.read(&message)),
                Ok(Err(error)) if batch.is_empty() => return Err(self.error(&error)),
                // The batch in hand comes first; a lasting error shows itself again.
                Ok(Err(_)) | Err(_) => break,
            }
        }
        Ok(batch)
    }

    /// Keeps the membership alive for this long without handing records out. Nothing is fetched until the
    /// next batch is asked for, so that little piles up however often this is called.
    pub async fn idle(&mut self, pause: Duration) {
        self.pause();
        let until = tokio::time::sleep(pause);
        tokio::pin!(until);
        loop {
            tokio::select! {
                () = &mut until => return,
                received = self.consumer.recv() => match received {
                    Ok(message) => {
                        let record = self.read(&message);
                        self.waiting.push_back(record);
                        // It came from a partition that was assigned since.
                        self.pause();
                    }
                    Err(error) => debug!(%error, "while idle"),
                },
            }
        }
    }

    /// Stops fetching from the partitions of this member.
    fn pause(&mut self) {
        self.paused = true;
        if let Err(error) = self.consumer.assignment().and_then(|assigned| self.consumer.pause(&assigned)) {
            debug!(%error, "not paused");
        }
    }

    /// Fetches again.
    fn resume(&mut self) {
        if !self.paused {
            return;
        }
        match self.consumer.assignment().and_then(|assigned| self.consumer.resume(&assigned)) {
            Ok(()) => self.paused = false,
            Err(error) => debug!(%error, "not resumed; the next batch tries again"),
        }
    }

    fn read(&self, message: &BorrowedMessage<'_>) -> Inbound {
        Inbound { assignment: self.consumer.context().seen(), ..owned(message) }
    }

    /// These records are settled: their offsets may be committed. Those that were read before the last
    /// rebalance are passed over: whoever holds their partition now sees them again.
    pub fn settle<'a>(&self, records: impl IntoIterator<Item = &'a Inbound>) -> Result<(), Error> {
        let seen = self.consumer.context().seen();
        let mut next: BTreeMap<(&str, i32), i64> = BTreeMap::new();
        for record in records.into_iter().filter(|record| record.assignment == seen) {
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

    /// Commits what is settled and leaves the group. Bounded: a broker that does not answer must not hold
    /// up the shutdown.
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
            Some(_) | None => Error::Unavailable(self.consumer.context().link.explain(error)),
        }
    }
}

fn setup(error: &KafkaError) -> Error {
    Error::Setup(format!("[kafka]: {error}"))
}

fn never_committed(group: &str) -> Error {
    Error::Setup(format!(
        "group {group:?} has never committed an offset; say where it starts: --from earliest (with the oldest record) \
         or --from latest (with the next one)"
    ))
}

fn has_committed(settings: &KafkaSettings, topic: &str) -> Result<bool, Error> {
    let consumer: BaseConsumer<Link> =
        settings.consumer("error")?.create_with_context(settings.link()).map_err(|error| setup(&error))?;
    let metadata = ask(&consumer, ASK, |client, patience| client.fetch_metadata(Some(topic), patience))?;
    let mut list = TopicPartitionList::new();
    for found in metadata.topics() {
        for partition in found.partitions() {
            list.add_partition(found.name(), partition.id());
        }
    }
    let committed = committed(&consumer, &list)?;
    Ok(committed.elements().iter().any(|element| matches!(element.offset(), Offset::Offset(_))))
}

/// What the group has committed of these partitions.
pub(super) fn committed(consumer: &BaseConsumer<Link>, list: &TopicPartitionList) -> Result<TopicPartitionList, Error> {
    ask(consumer, LOADING, |client, patience| ask_committed(client, list, patience))
}

/// Asks for it once; a broker that is still loading is left alone for a moment.
fn ask_committed<C: ConsumerContext>(
    consumer: &impl Consumer<C>,
    list: &TopicPartitionList,
    patience: Duration,
) -> KafkaResult<TopicPartitionList> {
    let answer = consumer.committed_offsets(list.clone(), patience);
    if answer.as_ref().is_err_and(is_loading) {
        std::thread::sleep(LOADING_PAUSE);
    }
    answer
}

/// A broker that has just started, or taken over a group, first reads what is committed.
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

pub(super) fn owned(message: &BorrowedMessage<'_>) -> Inbound {
    let mut headers = BTreeMap::new();
    for header in message.headers().into_iter().flat_map(|headers| headers.iter()) {
        if let Some(Ok(text)) = header.value.map(std::str::from_utf8) {
            headers.insert(header.key.to_owned(), text.to_owned());
        }
    }
    Inbound {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().unwrap_or_default().to_vec(),
        headers,
        assignment: 0,
    }
}
