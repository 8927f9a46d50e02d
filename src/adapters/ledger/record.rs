//! A Kafka record and where it stands.

use crate::domain::trace_context::TraceContext;
use serde::Serialize;
use std::fmt;
use std::str::FromStr;

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, sqlx_macros::FromRow)]
pub struct Coordinates {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}

impl fmt::Display for Coordinates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

impl FromStr for Coordinates {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.rsplitn(3, '/');
        let offset = parts.next().and_then(|part| part.parse().ok());
        let partition = parts.next().and_then(|part| part.parse().ok());
        match (parts.next(), partition, offset) {
            (Some(topic), Some(partition), Some(offset)) if !topic.is_empty() => {
                Ok(Self { topic: topic.to_owned(), partition, offset })
            }
            _ => Err("a record is named topic/partition/offset"),
        }
    }
}

/// A record as it stood on the request topic.
#[derive(Debug, Clone)]
pub struct SourceRecord {
    pub coordinates: Coordinates,
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
    /// The events of what becomes of the record have this context.
    pub trace: Option<TraceContext>,
}
