//! How far the group is behind on the partitions that a member holds, from the client library's own statistics: it
//! asks the brokers where each partition ends, also while nothing is fetched.

use rdkafka::TopicPartitionList;
use rdkafka::statistics::{self, Statistics};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Topic and partition.
type Held = (String, i32);

/// Partitions that a member holds and the records of each that are not settled; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Lag(Arc<Mutex<BTreeMap<Held, Option<i64>>>>);

/// How often the client library looks, in milliseconds.
pub(super) const LOOK_EVERY_MS: &str = "15000";

impl Lag {
    /// Topic, partition and records, where it is known.
    pub fn known(&self) -> Vec<(String, i32, i64)> {
        self.held().iter().filter_map(|((topic, partition), lag)| Some((topic.clone(), *partition, (*lag)?))).collect()
    }

    /// The member holds these and no other.
    pub(super) fn hold(&self, partitions: &TopicPartitionList) {
        let held = partitions.elements().iter().map(|e| ((e.topic().to_owned(), e.partition()), None)).collect();
        *self.held() = held;
    }

    /// The member holds none.
    pub(super) fn let_go(&self) {
        self.held().clear();
    }

    /// What the client library has found.
    pub(super) fn hear(&self, statistics: &Statistics) {
        for ((topic, partition), lag) in self.held().iter_mut() {
            let found = statistics.topics.get(topic).and_then(|topic| topic.partitions.get(partition));
            *lag = found.and_then(behind).or(*lag);
        }
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<Held, Option<i64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From what is settled, or from what is committed while nothing was settled here.
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
    fn a_member_tells_of_what_it_holds_and_knows_and_of_nothing_else() {
        let (lag, mut partitions) = (Lag::default(), TopicPartitionList::new());
        partitions.add_partition("t", 0);
        lag.hear(&statistics(0, 5, 9));
        assert_eq!(lag.known(), [], "it holds none");
        lag.hold(&partitions);
        lag.hear(&statistics(1, 5, 9));
        assert_eq!(lag.known(), [], "another's");
        lag.hear(&statistics(0, -1, 9));
        assert_eq!(lag.known(), [("t".to_owned(), 0, 9)], "what is committed, while nothing was settled");
        lag.hear(&statistics(0, 5, 9));
        assert_eq!(lag.known(), [("t".to_owned(), 0, 5)]);
        lag.let_go();
        assert_eq!(lag.known(), []);
    }
}
