//! Defines how the ledger stores values in columns: as text, as 32 bytes, as JSON. If a stored value cannot be read,
//! the error names its column.

use crate::domain::contract::{EventProgress, TrainBuildRequest, parse_accepted};
use crate::domain::identity::{Digest, RunId, RunKey};
use crate::domain::run::{ExecutionMode, FailureCode, OutboxKind, State};
use crate::domain::trace_context::TraceContext;
use serde::Serialize;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgRow, PgTypeInfo, PgValueRef, Postgres};
use sqlx::types::Json;
use sqlx::{Decode, FromRow, Row as _, Type};
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

/// Reads and writes a type as text. SQL selects enum columns as `column::text`.
macro_rules! as_text {
    ($($type:ty),+) => {$(
        impl Type<Postgres> for $type {
            fn type_info() -> PgTypeInfo {
                <str as Type<Postgres>>::type_info()
            }

            fn compatible(other: &PgTypeInfo) -> bool {
                <str as Type<Postgres>>::compatible(other)
            }
        }

        impl<'r> Decode<'r, Postgres> for $type {
            fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
                <&str as Decode<Postgres>>::decode(value)?.parse().map_err(|error| format!("{error}").into())
            }
        }
    )+};
}

as_text!(RunId, State, ExecutionMode, FailureCode, OutboxKind);

macro_rules! as_bytes {
    ($($type:ty: $read:expr),+ $(,)?) => {$(
        impl Type<Postgres> for $type {
            fn type_info() -> PgTypeInfo {
                <[u8] as Type<Postgres>>::type_info()
            }
        }

        impl<'r> Decode<'r, Postgres> for $type {
            fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
                $read(value)
            }
        }
    )+};
}

as_bytes! {
    Digest: digest,
    RunKey: |value| digest(value).map(RunKey::from_digest),
    StoredRequest: request,
    TrainBuildRequest: |value| request(value).map(|stored| Arc::unwrap_or_clone(stored.0)),
}

fn digest(value: PgValueRef<'_>) -> Result<Digest, BoxDynError> {
    Ok(Digest::from_bytes(<&[u8] as Decode<Postgres>>::decode(value)?)?)
}

/// A training request, read from the column `inbox.value`. The ledger stores a request only as the bytes of its record.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StoredRequest(pub(super) Arc<TrainBuildRequest>);

impl StoredRequest {
    pub(super) fn parse(value: Option<&[u8]>) -> Result<Self, String> {
        let value = value.ok_or("its record is gone from the inbox")?;
        parse_accepted(value).map(Self).map_err(|rejection| rejection.to_string())
    }
}

fn request(value: PgValueRef<'_>) -> Result<StoredRequest, BoxDynError> {
    Ok(StoredRequest::parse(<Option<&[u8]> as Decode<Postgres>>::decode(value)?)?)
}

impl Deref for StoredRequest {
    type Target = TrainBuildRequest;

    fn deref(&self) -> &TrainBuildRequest {
        &self.0
    }
}

/// Topic, partition and offset of a record. Read from columns of these names, or from one column `(topic, partition,
/// offset)`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, sqlx_macros::FromRow)]
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

impl Type<Postgres> for Coordinates {
    fn type_info() -> PgTypeInfo {
        <(String, i32, i64) as Type<Postgres>>::type_info()
    }
}

impl<'r> Decode<'r, Postgres> for Coordinates {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        let (topic, partition, offset) = Decode::<Postgres>::decode(value)?;
        Ok(Self { topic, partition, offset })
    }
}

impl Type<Postgres> for EventProgress {
    fn type_info() -> PgTypeInfo {
        <Json<Self> as Type<Postgres>>::type_info()
    }
}

impl<'r> Decode<'r, Postgres> for EventProgress {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        <Json<Self> as Decode<Postgres>>::decode(value).map(|Json(progress)| progress)
    }
}

/// A value in a list for people. `None` if the stored value cannot be read, so that the rest of the list is still
/// shown.
#[derive(Debug, Clone)]
pub struct Readable<T>(Option<T>);

impl<T> Readable<T> {
    pub fn get(&self) -> Option<&T> {
        self.0.as_ref()
    }
}

impl<T: Type<Postgres>> Type<Postgres> for Readable<T> {
    fn type_info() -> PgTypeInfo {
        T::type_info()
    }

    fn compatible(other: &PgTypeInfo) -> bool {
        T::compatible(other)
    }
}

impl<'r, T: Decode<'r, Postgres>> Decode<'r, Postgres> for Readable<T> {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self(T::decode(value).ok()))
    }
}

/// Trace context in the columns `traceparent` and `tracestate`. `None` if they hold no valid trace context.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StoredTrace(pub(super) Option<TraceContext>);

impl<'r> FromRow<'r, PgRow> for StoredTrace {
    fn from_row(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self(TraceContext::read(row.try_get("traceparent")?, row.try_get("tracestate")?)))
    }
}
