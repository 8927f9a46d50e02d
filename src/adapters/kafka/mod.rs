//! Kafka: librdkafka stays in this room.
//!
//! Guarantees: messages come out owned; an offset is stored only when the caller says that its record is
//! settled; a record counts as sent only by its own delivery report; every client has the same TLS and SASL.
//! Never: creates a topic in production; settles a record by itself.

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
    /// A passing error: try again.
    #[error("Kafka is not available: {0}")]
    Unavailable(String),
    /// The broker refuses us, or we refuse the broker, until somebody changes something.
    #[error("{0}")]
    Denied(BrokerDenial),
    #[error(transparent)]
    Security(#[from] SecurityError),
    /// The set-up is wrong until somebody changes something.
    #[error("{0}")]
    Setup(String),
    /// The client cannot go on: make a new one.
    #[error("the Kafka client failed: {0}")]
    Fatal(String),
}

impl Error {
    /// The error's kind as one word, from a closed set.
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
    /// Empty where the record has none.
    pub value: Vec<u8>,
    /// Those whose value is UTF-8; of several with one name, the last.
    pub headers: BTreeMap<String, String>,
    /// How many rebalances the member had seen when it read the record; 0 outside a group.
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
