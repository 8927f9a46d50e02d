//! librdkafka's own broker inside the process: for `demo`, `dev`, and tests where no other is at hand.
//!
//! It keeps at most 5 MiB a partition and forgets everything when the process ends.

use super::Fault;
use super::settings::TopicNames;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

/// A broker that lives as long as this value.
pub struct MockBroker {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl MockBroker {
    /// Starts a broker with these topics on a free loopback port.
    pub fn start(topics: &TopicNames, partitions: i32) -> Result<Self, Fault> {
        let fault = |error: rdkafka::error::KafkaError| Fault::Fatal(error.to_string());
        let cluster = MockCluster::new(1).map_err(fault)?;
        for topic in topics.all() {
            cluster.create_topic(topic, partitions, 1).map_err(fault)?;
        }
        Ok(Self { cluster })
    }

    /// Where it listens.
    pub fn brokers(&self) -> String {
        self.cluster.bootstrap_servers()
    }
}
