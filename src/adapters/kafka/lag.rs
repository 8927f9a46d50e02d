//! How many records the consumer group is behind on the partitions that this member holds. The numbers come from the
//! client library's statistics, which ask brokers for the end of each partition even while nothing is fetched.

use rdkafka::TopicPartitionList;
use rdkafka::statistics::{self, Statistics};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type HeldPartition = (String, i32);

/// Unsettled records of each partition that the member holds; `None` until the first statistics. Clones share the
/// numbers.
#[derive(Debug, Clone, Default)]
pub struct Lag(Arc<Mutex<BTreeMap<HeldPartition, Option<i64>>>>);

/// How often the client library updates its statistics, in milliseconds.
pub(super) const LOOK_EVERY_MS: &str = "5000";

impl Lag {
    pub fn known(&self) -> Vec<(String, i32, i64)> {
        self.held().iter().filter_map(|((topic, partition), lag)| Some((topic.clone(), *partition, (*lag)?))).collect()
    }

    /// Says that the member now holds exactly these partitions.
    pub(super) fn assign(&self, partitions: &TopicPartitionList) {
        let held = partitions.elements().iter().map(|e| ((e.topic().to_owned(), e.partition()), None)).collect();
        *self.held() = held;
    }

    pub(super) fn clear(&self) {
        self.held().clear();
    }

    pub(super) fn update(&self, statistics: &Statistics) {
        for ((topic, partition), lag) in self.held().iter_mut() {
            let found = statistics.topics.get(topic).and_then(|topic| topic.partitions.get(partition));
            *lag = found.and_then(behind).or(*lag);
        }
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<HeldPartition, Option<i64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns how many records follow the settled offset or, if this member has settled nothing yet, the committed offset.
/// `None` if both are unknown.
fn behind(partition: &statistics::Partition) -> Option<i64> {
    [partition.consumer_lag_stored, partition.consumer_lag].into_iter().find(|lag| *lag >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::statistics::{Partition, Topic};

    fn statistics(partition: i32, stored: i64, committed: i64) -> Statistics {
        let partition =
            Partition { partition, consumer_lag_stored: stored, consumer_lag: committed, ..Partition::default() };
        let topic = Topic { partitions: [(partition.partition, partition)].into(), ..Topic::default() };
        Statistics { topics: [("t".to_owned(), topic)].into(), ..Statistics::default() }
    }

    #[test]
    fn the_lag_is_of_partitions_that_are_held_and_known_and_of_no_other() {
        let (lag, mut partitions) = (Lag::default(), TopicPartitionList::new());
        partitions.add_partition("t", 0);
        lag.update(&statistics(0, 5, 9));
        assert_eq!(lag.known(), [], "it holds none");
        lag.assign(&partitions);
        lag.update(&statistics(1, 5, 9));
        assert_eq!(lag.known(), [], "another's");
        lag.update(&statistics(0, -1, 9));
        assert_eq!(lag.known(), [("t".to_owned(), 0, 9)], "what is committed, while nothing was settled");
        lag.update(&statistics(0, 5, 9));
        assert_eq!(lag.known(), [("t".to_owned(), 0, 5)]);
        lag.clear();
        assert_eq!(lag.known(), []);
    }
}
