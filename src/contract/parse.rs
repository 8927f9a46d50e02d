//! The only way in.

use super::{AllowList, CancelRequest, PublishRetryRequest, TrainBuildRequest};
use crate::run::FailureCode;

/// A message from the request topic, checked and typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Build something.
    Train(Box<TrainBuildRequest>),
    /// Announce again.
    PublishRetry(PublishRetryRequest),
    /// Stop.
    Cancel(CancelRequest),
}

/// Why a message is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code} at {pointer:?}: {message}")]
pub struct Rejection {
    /// The code.
    pub code: FailureCode,
    /// JSON pointer to the place, empty for the whole message.
    pub pointer: String,
    /// The rule that it breaks, for people.
    pub message: String,
    /// What could be read of the message's ids.
    pub ids: RejectedIds,
}

/// Ids of a refused message, as far as they are well-formed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RejectedIds {
    /// `request_id`.
    pub request_id: Option<String>,
    /// `platform_run_id`.
    pub platform_run_id: Option<String>,
}

/// Parses a record's value: plain JSON, or a structured CloudEvent around it.
pub fn parse(_bytes: &[u8], _allow: &AllowList) -> Result<Message, Rejection> {
    unimplemented!()
}
