//! What a member of the consumer group does when a rebalance gives it partitions or takes them away.
//!
//! A newly assigned partition is not read until the inbox's caller says from where (`Inbox::begin_at`), for which it
//! asks the ledger. The callback of a rebalance never waits for the ledger.

use super::lag::Lag;
use super::security::BrokerContext;
use crate::telemetry::metrics::{self, PartitionChange};
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};
use std::collections::BTreeSet;
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tracing::{error, info};

pub(super) struct Membership {
    /// Counts rebalances, and the times that the inbox gave up all partitions to place them again.
    generation: AtomicU64,
    /// The partitions that the consumer group assigned to this member.
    assigned: Mutex<BTreeSet<i32>>,
    pub(super) brokers: BrokerContext,
    pub(super) lag: Lag,
}

impl Membership {
    pub(super) fn new(brokers: BrokerContext) -> Self {
        Self { generation: AtomicU64::new(0), assigned: Mutex::default(), brokers, lag: Lag::default() }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    pub(super) fn begin_generation(&self) -> u64 {
        self.generation.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(super) fn assigned(&self) -> BTreeSet<i32> {
        self.lock().clone()
    }

    /// Reads nothing until the partitions are placed.
    fn take(&self, consumer: &BaseConsumer<Self>, assigned: &TopicPartitionList) -> KafkaResult<()> {
        *self.lock() = assigned.elements().iter().map(TopicPartitionListElem::partition).collect();
        self.lag.assign(assigned);
        consumer.assign(&TopicPartitionList::new())
    }

    fn give_up(&self, consumer: &BaseConsumer<Self>) -> KafkaResult<()> {
        self.lock().clear();
        self.lag.clear();
        consumer.unassign()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<i32>> {
        self.assigned.lock().unwrap_or_else(PoisonError::into_inner)
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

/// librdkafka calls `rebalance` only while the consumer is polled for records, so never while offsets are settled.
impl ConsumerContext for Membership {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, change: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        self.begin_generation();
        let (change, done) = match change {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                (PartitionChange::Assigned, self.take(consumer, partitions))
            }
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => (PartitionChange::Revoked, self.give_up(consumer)),
            _ => (PartitionChange::Failed, self.give_up(consumer)),
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
