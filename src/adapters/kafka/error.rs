//! What goes wrong with Kafka, by what the caller can do about it.

use super::security::{BrokerDenial, SecurityError};
use rdkafka::error::KafkaError;

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

    /// The client library refuses the configuration.
    pub(super) fn setup(error: &KafkaError) -> Self {
        Self::Setup(format!("[kafka]: {error}"))
    }

    pub(super) fn unavailable(error: &KafkaError) -> Self {
        Self::Unavailable(error.to_string())
    }
}
