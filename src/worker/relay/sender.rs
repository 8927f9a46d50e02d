//! The sender of one lane: its producer, its places for records in flight, and when it rests.
//!
//! Guarantees: it hands over records only while it has places, which bounds the records in flight to a topic that does
//! not answer. Of a stream it hands over further records only after those in flight are acknowledged and marked. After
//! any failure in an ordered lane it gives up its producer with everything in flight, so that no record overtakes a
//! failed one.

use super::progress::RelayProgress;
use super::shards::Holding;
use super::span::traced;
use crate::adapters::kafka::{self, Flow, KafkaSettings, Outlet, Record, TopicNames};
use crate::adapters::ledger::{Lane, OutboxRow, Room, Shard};
use crate::clock::{self, Stopwatch};
use crate::telemetry::{OpenSpan, metrics};
use crate::worker::backoff::Backoff;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};
use tracing::warn;

/// The longest pause between two looks at a lane in which nothing waits. It adds to the latency of the next record.
const IDLE_CAP: Duration = Duration::from_millis(500);
/// The longest rest of a lane whose topic fails.
const REST_CAP: Duration = Duration::from_secs(30);
/// A producer that gets no delivery report for this long is replaced.
const SILENCE: Duration = Duration::from_mins(1);
/// How long an ordered lane sends one record in each produce request after its topic refused one.
const ONE_BY_ONE: Duration = Duration::from_mins(5);
/// Most streams that are remembered as known to the broker. At this number the sender forgets them all.
const MOST_KNOWN: usize = 10_000;
/// Bytes of keys and values that are handed over at a time.
const BYTES: u64 = 8 << 20;

/// A record in flight.
pub(super) struct Ticket {
    pub(super) lane: Lane,
    pub(super) id: i64,
    pub(super) shard: Shard,
    stream: String,
    producer: u64,
    span: Option<OpenSpan>,
}

/// What became of a record: partition and offset, or why the broker does not have it.
pub(super) type Report = (Ticket, Result<(i32, i64), kafka::Error>);

/// What the client library took, and what it refused at once.
#[derive(Default)]
pub(super) struct HandedOver {
    pub(super) reports: Vec<BoxFuture<'static, Report>>,
    pub(super) refused: Vec<(i64, String)>,
}

pub(super) struct Sender {
    pub(super) lane: Lane,
    pub(super) topic: String,
    kafka: KafkaSettings,
    outlet: Option<Outlet>,
    /// Number of the producer; a report of an earlier one frees no place.
    producer: u64,
    in_flight: usize,
    /// Streams in flight, with the number of their records.
    streams: HashMap<String, usize>,
    /// Streams of which this producer has an acknowledgement, so that the broker knows its sequence in their partition.
    known: HashSet<String>,
    /// Time since the last report or the first hand-over; `None` if nothing is in flight.
    silence: Option<Stopwatch>,
    /// Time since an ordered lane's topic refused a record; `None` while it sends several records in a produce request.
    one_by_one: Option<Stopwatch>,
    look_at: Instant,
    rests_until: Option<Instant>,
    idle: Backoff,
    rest: Backoff,
}

impl Sender {
    pub(super) fn new(lane: Lane, kafka: &KafkaSettings) -> Self {
        Self {
            lane,
            topic: topic_of(lane, &kafka.topics).to_owned(),
            kafka: kafka.clone(),
            outlet: None,
            producer: 0,
            in_flight: 0,
            streams: HashMap::new(),
            known: HashSet::new(),
            silence: None,
            one_by_one: None,
            look_at: clock::now(),
            rests_until: None,
            idle: Backoff::between(Duration::from_millis(20), IDLE_CAP),
            rest: Backoff::between(Duration::from_millis(200), REST_CAP),
        }
    }

    /// Returns the most records in flight in the lane, and the most of one stream.
    fn capacity(&self) -> (usize, usize) {
        match self.lane {
            Lane::RunEvents => (512, 128),
            Lane::Lineage => (256, 16),
            Lane::RefusalEvents => (128, 1),
            Lane::Publications | Lane::DeadLetters => (64, 1),
        }
    }

    /// Returns how long until this lane is to be looked at; `None` while less than a quarter of its places are free.
    pub(super) fn until_look(&self) -> Option<Duration> {
        let (capacity, _) = self.capacity();
        let free = capacity.saturating_sub(self.in_flight);
        let due = self.rests_until.unwrap_or(self.look_at).max(self.look_at);
        (free * 4 >= capacity).then(|| due.saturating_duration_since(clock::now()))
    }

    pub(super) fn rests(&self) -> bool {
        self.rests_until.is_some_and(|until| until > clock::now())
    }

    /// Says how many records the ledger may choose for this lane, and how large; `busy` are its streams in flight,
    /// which it skips.
    pub(super) fn room<'a>(&self, shards: &'a [i16], busy: &'a [&'a str]) -> Room<'a> {
        let (capacity, of_a_stream) = self.capacity();
        Room {
            shards,
            busy,
            records: capacity.saturating_sub(self.in_flight),
            of_a_stream,
            bytes: BYTES,
            max_record_bytes: self.kafka.max_value_bytes,
        }
    }

    pub(super) fn busy(&self) -> Vec<&str> {
        self.streams.keys().map(String::as_str).collect()
    }

    /// Notes that a look at the lane found this many records of at most `wanted`, and decides when the next look is
    /// due.
    pub(super) fn looked(&mut self, found: usize, wanted: usize, progress: &RelayProgress) {
        self.rests_until = None;
        if found > 0 {
            self.idle.reset();
            progress.waits(self.lane, &self.topic);
        } else if self.in_flight == 0 {
            progress.nothing_waits(self.lane);
        }
        self.look_at = clock::now();
        if found < wanted {
            self.look_at += self.idle.next_delay();
        }
    }

    /// Gives the records to the client library, in their order. After the library refuses a record, it gets no further
    /// one of that stream; after an error that is not about one record, it gets nothing more.
    ///
    /// A broker accepts any sequence number from a producer that it does not know in a partition: of a new producer's
    /// first two produce requests it may refuse the first and take the second. So a stream has one record in flight
    /// until this producer has an acknowledgement of it, and always while refusals are looked for one by one.
    pub(super) fn hand(&mut self, rows: &[OutboxRow], holding: &Holding) -> (HandedOver, Result<(), kafka::Error>) {
        let mut handed = HandedOver::default();
        let outlet = match self.outlet.take().map_or_else(|| Outlet::for_relay(&self.kafka, self.flow()), Ok) {
            Ok(outlet) => outlet,
            Err(error) => return (handed, Err(error)),
        };
        let outlet = self.outlet.insert(outlet);
        let mut stopped = HashSet::new();
        for row in rows {
            let Some(shard) = holding.find(row.shard).filter(|_| !stopped.contains(row.stream.as_str())) else {
                continue;
            };
            if self.one_by_one.is_some() || !self.known.contains(&row.stream) {
                stopped.insert(row.stream.as_str());
            }
            let (span, headers) = traced(row, &self.topic);
            let record = Record { topic: &self.topic, key: row.key.as_deref(), value: &row.value, headers: &headers };
            match outlet.hand(record) {
                Ok(report) => {
                    let (lane, stream, producer) = (self.lane, row.stream.clone(), self.producer);
                    *self.streams.entry(stream.clone()).or_default() += 1;
                    self.in_flight += 1;
                    let ticket = Ticket { lane, id: row.id, shard, stream, producer, span };
                    handed.reports.push(report.map(|report| (ticket, report)).boxed());
                }
                Err(kafka::Error::Refused(why)) => {
                    stopped.insert(row.stream.as_str());
                    handed.refused.push((row.id, why));
                }
                Err(error) => return (handed, Err(error)),
            }
        }
        if self.in_flight > 0 && self.silence.is_none() {
            self.silence = Some(Stopwatch::start());
        }
        (handed, Ok(()))
    }

    fn flow(&self) -> Flow {
        match (self.lane.is_ordered(), &self.one_by_one) {
            (true, None) => Flow::Ordered,
            (true, Some(_)) => Flow::OrderedOneByOne,
            (false, _) => Flow::Independent,
        }
    }

    /// Whether a refusal is about its own record. With `Flow::Ordered` the broker refuses a whole produce request.
    pub(super) fn names_culprits(&self) -> bool {
        self.flow() != Flow::Ordered
    }

    /// Whether a report is one of the producer that the lane has now.
    pub(super) fn is_of_now(&self, ticket: &Ticket) -> bool {
        ticket.producer == self.producer
    }

    /// Frees the place of a record that was marked, or that rests.
    pub(super) fn free(&mut self, ticket: &Ticket) {
        if !self.is_of_now(ticket) {
            return;
        }
        self.in_flight -= 1;
        if let Some(count) = self.streams.get_mut(&ticket.stream) {
            *count -= 1;
            if *count == 0 {
                self.streams.remove(&ticket.stream);
            }
        }
        self.silence = (self.in_flight > 0).then(Stopwatch::start);
        // The next look is due at once, and the pause after it is short again: a lane that just got reports is not
        // idle.
        self.idle.reset();
        self.look_at = clock::now();
    }

    /// Notes that the topic acknowledged a record of this ticket, whether or not the ledger marks it.
    pub(super) fn acknowledged(&mut self, ticket: &Ticket) {
        if self.lane.is_ordered() && self.is_of_now(ticket) {
            if self.known.len() >= MOST_KNOWN {
                self.known.clear();
            }
            self.known.insert(ticket.stream.clone());
        }
    }

    /// Notes that the topic acknowledged records and the ledger marked them.
    pub(super) fn went_well(&mut self) {
        self.rest.reset();
        if self.in_flight == 0 && self.one_by_one.as_ref().is_some_and(|since| since.elapsed() > ONE_BY_ONE) {
            self.one_by_one = None;
            self.give_up_producer();
        }
    }

    /// Returns an error if the lane's producer is broken or has got no report for `SILENCE`; `None` if it works.
    pub(super) fn silent_or_broken(&self) -> Option<kafka::Error> {
        if let Some(why) = self.outlet.as_ref().and_then(Outlet::broken) {
            return Some(kafka::Error::Fatal(why));
        }
        let silent = self.silence.as_ref().is_some_and(|since| since.elapsed() > SILENCE);
        silent.then(|| self.unanswered())
    }

    pub(super) fn unanswered(&self) -> kafka::Error {
        let denied = self.outlet.as_ref().and_then(Outlet::denied);
        kafka::Error::Unavailable(denied.unwrap_or_else(|| format!("no report about records for {}", self.topic)))
    }

    /// Gives up the producer and all that is in flight, and rests. Other lanes notice nothing.
    pub(super) fn fail(&mut self, error: &kafka::Error, progress: &RelayProgress) {
        if let kafka::Error::Refused(_) = error {
            self.one_by_one = Some(Stopwatch::start());
        }
        let is_broken = self.outlet.as_ref().is_some_and(|outlet| outlet.broken().is_some());
        if is_broken && !matches!(error, kafka::Error::Refused(_)) {
            metrics::PRODUCERS_RECREATED.count(());
        }
        let rest = self.rest.next_delay();
        warn!(topic = self.topic, fault = %error, records = self.in_flight, ?rest, "records wait for their topic");
        progress.failed(self.lane, &error.to_string());
        self.give_up_producer();
        self.rests_until = Some(clock::now() + rest);
    }

    pub(super) fn give_up_producer(&mut self) {
        if let Some(outlet) = self.outlet.take() {
            outlet.abandon();
        }
        self.producer += 1;
        self.in_flight = 0;
        self.streams.clear();
        self.known.clear();
        self.silence = None;
    }
}

impl Ticket {
    pub(super) fn end_span(&self, report: &Result<(i32, i64), kafka::Error>) {
        let Some(span) = &self.span else { return };
        match report {
            Ok((partition, offset)) => {
                span.record_attribute("messaging.destination.partition.id", partition.to_string());
                span.record_attribute("messaging.kafka.offset", *offset);
            }
            Err(error) => span.record_failure(error.kind()),
        }
    }
}

pub(super) fn topic_of(lane: Lane, topics: &TopicNames) -> &str {
    match lane {
        Lane::RunEvents | Lane::RefusalEvents => &topics.lifecycle,
        Lane::Publications => &topics.publications,
        Lane::DeadLetters => &topics.dead_letters,
        Lane::Lineage => &topics.lineage,
    }
}
