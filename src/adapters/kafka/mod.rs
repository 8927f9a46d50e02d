//! Kafka: librdkafka stays in this room.
//!
//! Guarantees: messages come out owned; an offset is stored only when the caller says that its record is
//! settled; a record counts as sent only by its own delivery report; every client has the same TLS and SASL.
//! Never: creates a topic in production; settles by itself.

mod follower;
mod inbox;
mod lag;
mod mock;
mod outlet;
mod probe;
mod security;
mod settings;
mod survey;
mod topics;

pub use follower::Follower;
pub use inbox::{Inbound, Inbox};
pub use lag::Lag;
pub use mock::MockBroker;
pub use outlet::{Outlet, Record};
pub use probe::BrokerProbe;
pub use security::{Denial, Mechanism, Protocol, SecurityError, SecuritySettings};
pub use settings::{KafkaSettings, StartAt, TopicNames};
pub use survey::{Cluster, GroupPosition, Survey, TopicSettings, TopicShape};
pub use topics::Topics;

/// Kafka went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not reachable, or a passing error: try again.
    #[error("Kafka is not available: {0}")]
    Unavailable(String),
    /// A broker and we do not come together: somebody has to change something first.
    #[error("{0}")]
    Denied(Denial),
    /// The settings of TLS and SASL are wrong.
    #[error(transparent)]
    Security(#[from] SecurityError),
    /// Wrong set-up: somebody has to change something first.
    #[error("{0}")]
    Setup(String),
    /// The client is beyond repair and must be made again.
    #[error("the Kafka client failed: {0}")]
    Fatal(String),
}

impl Error {
    /// One word for it, of a closed set.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Denied(_) => "denied",
            Self::Security(_) => "security",
            Self::Setup(_) => "setup",
            Self::Fatal(_) => "fatal",
        }
    }
}
