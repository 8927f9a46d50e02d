//! What a member of the group does when a rebalance gives it partitions or takes them away.

use super::lag::Lag;
use super::query::{REQUEST, committed_of_member};
use super::security::BrokerContext;
use super::settings::StartAt;
use crate::telemetry::metrics::{self, PartitionChange};
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tracing::{error, info, warn};

pub(super) struct Membership {
    /// Number of rebalances so far. Every rebalance revokes all partitions before it assigns any.
    rebalances: AtomicU64,
    /// Where a partition without a committed offset starts in the member's first assignment. In later assignments such
    /// a partition starts at its beginning: it is new, or has had no record.
    from: StartAt,
    begun: AtomicBool,
    pub(super) brokers: BrokerContext,
    pub(super) lag: Lag,
}

impl Membership {
    pub(super) fn new(from: StartAt, brokers: BrokerContext) -> Self {
        Self { rebalances: AtomicU64::new(0), from, begun: AtomicBool::new(false), brokers, lag: Lag::default() }
    }

    pub(super) fn rebalances(&self) -> u64 {
        self.rebalances.load(Ordering::SeqCst)
    }

    /// Start offsets of the assigned partitions for which the group has never committed one.
    fn starts(&self, consumer: &BaseConsumer<Self>, assigned: &TopicPartitionList) -> KafkaResult<TopicPartitionList> {
        let mut starts = TopicPartitionList::new();
        for element in committed_of_member(consumer, assigned)?.elements() {
            element.error()?;
            if matches!(element.offset(), Offset::Offset(_)) {
                continue;
            }
            let (low, high) = consumer.fetch_watermarks(element.topic(), element.partition(), REQUEST)?;
            let at = match self.from {
                StartAt::Latest if !self.begun.load(Ordering::SeqCst) => high,
                StartAt::Latest | StartAt::Earliest => low,
            };
            starts.add_partition_offset(element.topic(), element.partition(), Offset::Offset(at))?;
        }
        self.begun.store(true, Ordering::SeqCst);
        Ok(starts)
    }

    /// Takes the assigned partitions. If some have no committed offset, commits where they start: a later member needs
    /// no `from`.
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
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = BrokerContext::ENABLE_REFRESH_OAUTH_TOKEN;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.brokers.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.brokers.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        self.lag.update(&statistics);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.brokers.generate_oauth_token(config)
    }
}

/// librdkafka calls this only while the consumer is polled for records, so never while offsets are settled.
impl ConsumerContext for Membership {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, change: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        self.rebalances.fetch_add(1, Ordering::SeqCst);
        let (change, done) = match change {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.lag.assign(partitions);
                (PartitionChange::Assigned, self.take(consumer, partitions))
            }
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => {
                self.lag.clear();
                (PartitionChange::Revoked, consumer.unassign())
            }
            _ => {
                self.lag.clear();
                (PartitionChange::Failed, consumer.unassign())
            }
        };
        let count = partitions.count();
        info!(
            kafka.change = <&str>::from(change),
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
