//! Where a group and the log of a partition stand, and where an inbox reads on.

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

/// A partition that the group assigned to this member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignedPartition {
    pub partition: i32,
    /// The group's committed offset; `None` if it has never committed one.
    pub committed: Option<i64>,
    /// What was committed with it: the mark of the ledger that decided the records before it. `None` for an offset of an
    /// earlier release or of Kafka's own tools.
    pub mark: Option<String>,
    /// The log's first offset.
    pub begin: i64,
    /// The offset of the next record that is written.
    pub end: i64,
}

/// Where an inbox reads a partition from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadFrom {
    pub partition: i32,
    /// The first record that is returned.
    pub at: i64,
    /// A record before it that is returned first, if it is still there: whoever decided on it compares the bytes.
    pub check: Option<i64>,
}

impl ReadFrom {
    pub(super) fn reads_from(&self) -> i64 {
        self.check.map_or(self.at, |check| check.min(self.at))
    }
}

/// Asks Kafka where group and log stand. A partition whose leader does not answer is left out; an error only if none
/// answers.
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

/// What was committed with an offset. Anybody with rights on the group may commit bytes that are no text; the client
/// library panics at them.
pub(super) fn mark(element: &TopicPartitionListElem<'_>) -> Option<String> {
    guarded(|| element.metadata().to_owned()).ok().filter(|mark| !mark.is_empty())
}
