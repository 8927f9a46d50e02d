//! Kafka. No other room uses librdkafka.
//!
//! Guarantees: records are returned as owned values; an offset is stored only when the caller settles its record; a
//! record counts as sent only by its own delivery report; every client uses the same TLS and SASL settings. Never:
//! creates a topic in production; settles a record by itself.

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

pub use inbox::{Follower, Inbox};
pub use lag::Lag;
pub use mock::MockBroker;
pub use outlet::{Outlet, Record};
pub use security::{BrokerDenial, Mechanism, Protocol, SecurityError, SecuritySettings};
pub use settings::{KafkaSettings, StartAt, TopicNames};
pub use survey::{BrokerProbe, Cluster, GroupPosition, Survey, TopicSettings, TopicShape};
pub use topics::Topics;

use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use std::collections::BTreeMap;

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
    /// The client is broken for good: make a new one.
    #[error("the Kafka client failed: {0}")]
    Fatal(String),
}

impl Error {
    /// The error's variant as one word, for a span's attribute.
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

#[derive(Debug, Clone)]
pub struct Inbound {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    /// Empty if the record has no value.
    pub value: Vec<u8>,
    /// Headers whose value is UTF-8; if several have the same name, the last one.
    pub headers: BTreeMap<String, String>,
    /// Number of rebalances that the member had seen when it read the record; 0 outside a group.
    assignment: u64,
}

impl Inbound {
    fn read(message: &BorrowedMessage<'_>, assignment: u64) -> Self {
        let mut headers = BTreeMap::new();
        for header in message.headers().into_iter().flat_map(|headers| headers.iter()) {
            if let Some(Ok(text)) = header.value.map(std::str::from_utf8) {
                headers.insert(header.key.to_owned(), text.to_owned());
            }
        }
        Self {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().unwrap_or_default().to_vec(),
            headers,
            assignment,
        }
    }
}
