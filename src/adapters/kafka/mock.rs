//! librdkafka's mock broker inside this process: for `demo`, `dev`, and tests that have no other broker.
//!
//! The broker keeps at most 5 MiB per partition, and loses everything when the process ends.

use super::Error;
use super::settings::TopicNames;
use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

const ONLY: i32 = 1;

/// The mock broker; dropping this value stops it.
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

    /// Accepts connections again; the records from before are still there.
    pub fn come_back(&self) -> Result<(), Error> {
        self.cluster.broker_up(ONLY).map_err(|error| Error::Fatal(error.to_string()))
    }

    /// Makes the broker reply to the next produce request as if it had lost the producer's earlier records. An
    /// idempotent producer cannot continue after that.
    pub fn forget_a_producer(&self) {
        let forgot = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
        self.cluster.request_errors(RDKafkaApiKey::Produce, &[forgot]);
    }

    pub fn brokers(&self) -> String {
        self.cluster.bootstrap_servers()
    }
}
