//! Kafka: librdkafka stays in this room.
//!
//! Guarantees: messages come out owned; an offset is stored only when the caller says that its record is
//! settled; a record counts as sent only by its own delivery report; every client has the same TLS and SASL.
//! Never: creates a topic in production; settles a record by itself.

mod committed;
mod error;
mod follower;
mod inbound;
mod inbox;
mod lag;
mod membership;
mod mock;
mod outlet;
mod probe;
mod query;
mod security;
mod settings;
mod survey;
mod topics;

pub use error::Error;
pub use follower::Follower;
pub use inbound::Inbound;
pub use inbox::Inbox;
pub use lag::Lag;
pub use mock::MockBroker;
pub use outlet::{Outlet, Record};
pub use probe::BrokerProbe;
pub use security::{BrokerDenial, Mechanism, Protocol, SecurityError, SecuritySettings};
pub use settings::{KafkaSettings, StartAt, TopicNames};
pub use survey::{Cluster, GroupPosition, Survey, TopicSettings, TopicShape};
pub use topics::Topics;
