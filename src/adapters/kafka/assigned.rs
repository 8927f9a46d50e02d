//! Where the consumer group stands in each partition, which offsets the log of the partition holds, and where an inbox
//! reads on.

use super::Error;
use super::membership::Membership;
use super::query::committed_of_member;
use crate::guard::guarded;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeSet;
use std::time::Duration;
use tracing::warn;

/// A partition that the consumer group assigned to this member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignedPartition {
    pub partition: i32,
    /// The consumer group's committed offset; `None` if it has never committed one.
    pub committed: Option<i64>,
    /// Text that was committed with the offset: it names the ledger that decided the records before. `None` if an
    /// earlier release or Kafka's own tools committed the offset, or if the text is not UTF-8.
    pub mark: Option<String>,
    /// The offset of the first record that the log still holds.
    pub begin: i64,
    /// The offset of the next record that is written.
    pub end: i64,
}

/// Where an inbox reads a partition from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadFrom {
    pub partition: i32,
    /// Offset of the first record that is returned, apart from `check`.
    pub at: i64,
    /// Offset of a record before `at` that is returned first, if the log still holds it, so that the ledger can compare
    /// it with what was decided. `None` returns no such record.
    pub check: Option<i64>,
}

impl ReadFrom {
    pub(super) fn reads_from(&self) -> i64 {
        self.check.map_or(self.at, |check| check.min(self.at))
    }
}

/// Asks Kafka for the committed offset and the log of each partition. Leaves out a partition whose leader does not
/// answer. Returns an error if no leader answers, or if the committed offsets cannot be read.
pub(super) fn standings(
    consumer: &StreamConsumer<Membership>,
    topic: &str,
    partitions: &BTreeSet<i32>,
) -> Result<Vec<AssignedPartition>, Error> {
    const PATIENCE: Duration = Duration::from_secs(2);
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(topic, *partition);
    }
    let unavailable = |error| Error::Unavailable(consumer.context().brokers.explain(&error));
    let committed = committed_of_member(consumer, &list).map_err(unavailable)?;
    let (mut standings, mut silent) = (Vec::new(), None);
    for element in committed.elements() {
        let partition = element.partition();
        let log = element.error().and_then(|()| consumer.fetch_watermarks(topic, partition, PATIENCE));
        let (begin, end) = match log {
            Ok(log) => log,
            Err(error) => {
                warn!(kafka.topic = topic, kafka.partition = partition, %error, "not read yet: its leader does not answer");
                silent = Some(error);
                continue;
            }
        };
        let committed = match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        standings.push(AssignedPartition { partition, committed, mark: mark(&element), begin, end });
    }
    match silent {
        Some(error) if standings.is_empty() => Err(unavailable(error)),
        Some(_) | None => Ok(standings),
    }
}

/// Returns the text that was committed with an offset. `None` if there is none, or if it is not UTF-8: anybody with
/// rights on the consumer group may commit such bytes, and the client library panics at them.
pub(super) fn mark(element: &TopicPartitionListElem<'_>) -> Option<String> {
    guarded(|| element.metadata().to_owned()).ok().filter(|mark| !mark.is_empty())
}
