//! Kafka. No other room uses librdkafka.
//!
//! Guarantees: records are returned as owned values with bounded parts; an offset is stored only when the caller
//! settles or places it; a record counts as sent only by its own delivery report; every client uses the same TLS and
//! SASL settings. Never: creates a topic in production; settles a record by itself.

mod assigned;
mod inbound;
mod inbox;
mod lag;
mod membership;
mod mock;
mod outlet;
mod query;
mod security;
mod settings;
mod survey;
mod topics;

pub use assigned::{AssignedPartition, ReadFrom};
pub use inbound::Inbound;
pub use inbox::{Follower, Inbox};
pub use lag::Lag;
pub use mock::MockBroker;
pub use outlet::{Handed, Outlet, Record};
pub use security::{BrokerDenial, Mechanism, Protocol, SecurityError, SecuritySettings};
pub use settings::{Flow, KafkaSettings, StartAt, TopicNames};
pub use survey::{BrokerProbe, Cluster, GroupPosition, Survey, TopicSettings, TopicShape};
pub use topics::Topics;

use rdkafka::error::KafkaError;

#[derive(Debug, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Error {
    /// The error passes by itself: try again.
    #[error("Kafka is not available: {0}")]
    Unavailable(String),
    /// The broker refuses this client, or TLS refuses the broker, until a person changes something.
    #[error("{0}")]
    Denied(BrokerDenial),
    #[error(transparent)]
    Security(#[from] SecurityError),
    /// The configuration or the topics are wrong until a person changes something.
    #[error("{0}")]
    Setup(String),
    /// The broker will never take this record: it is too large or invalid for its topic.
    #[error("the broker refuses the record: {0}")]
    Refused(String),
    /// The client is broken for good: make a new one.
    #[error("the Kafka client failed: {0}")]
    Fatal(String),
}

impl Error {
    /// Returns the error's variant as one word, for a span's attribute.
    pub fn kind(&self) -> &'static str {
        self.into()
    }

    fn setup(error: &KafkaError) -> Self {
        Self::Setup(format!("[kafka]: {error}"))
    }

    fn unavailable(error: &KafkaError) -> Self {
        Self::Unavailable(error.to_string())
    }
}
