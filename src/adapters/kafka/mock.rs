//! librdkafka's own broker inside the process: for `demo`, `dev`, and tests where no other is at hand.
//!
//! It keeps at most 5 MiB a partition and forgets everything when the process ends.

use super::Error;
use super::settings::TopicNames;
use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

const ONLY: i32 = 1;

/// A broker that lives as long as this value.
pub struct MockBroker {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl MockBroker {
    /// Starts a broker with these topics on a free loopback port.
    pub fn start(topics: &TopicNames, partitions: i32) -> Result<Self, Error> {
        let fatal = |error: KafkaError| Error::Fatal(error.to_string());
        let cluster = MockCluster::new(1).map_err(fatal)?;
        for topic in topics.with_optional() {
            cluster.create_topic(topic, partitions, 1).map_err(fatal)?;
        }
        Ok(Self { cluster })
    }

    pub fn go_down(&self) -> Result<(), Error> {
        self.cluster.broker_down(ONLY).map_err(|error| Error::Fatal(error.to_string()))
    }

    /// Accepts connections again, with all its records.
    pub fn come_back(&self) -> Result<(), Error> {
        self.cluster.broker_up(ONLY).map_err(|error| Error::Fatal(error.to_string()))
    }

    /// Replies to the next produce request as a broker does that has lost what the producer sent before. An
    /// idempotent producer cannot go on after that.
    pub fn forget_a_producer(&self) {
        let forgot = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
        self.cluster.request_errors(RDKafkaApiKey::Produce, &[forgot]);
    }

    pub fn brokers(&self) -> String {
        self.cluster.bootstrap_servers()
    }
}
