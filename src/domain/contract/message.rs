//! A typed message of the request topic that matches its schema. For a message that does not, why it is rejected and
//! its ids.

use super::TrainBuildRequest;
use crate::domain::harmless::line;
use crate::domain::identity::{Digest, RunId, payload_digest};
use crate::domain::run::FailureCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::ops::RangeInclusive;
use std::sync::Arc;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    Train(Arc<TrainBuildRequest>),
    PublishRetry(CommandMessage),
    Cancel(CommandMessage),
}

/// A `CancelRequest` asks to stop a run. A `PublishRetryRequest` asks to announce the run's bundle again without
/// training. `schema_version` says which of the two this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandMessage {
    pub schema_version: String,
    pub request_id: String,
    pub run_id: RunId,
    pub requester_principal: String,
    pub reason: String,
    /// The command applies only while the run's `attempt` is this one. `None` applies to any attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
}

impl CommandMessage {
    pub const CANCEL: &'static str = "learning.mf_cancel.v0";
    pub const PUBLISH_RETRY: &'static str = "learning.mf_publish_retry.v0";

    /// Computes a digest over everything but `request_id`. An unchanged repetition has the same digest, whatever signature
    /// or white space is around it.
    pub fn payload_digest(&self) -> Digest {
        let mut value = serde_json::to_value(self).expect("a command serialises");
        value.as_object_mut().expect("a command is an object").remove("request_id");
        payload_digest(&value)
    }
}

impl Message {
    pub fn request_id(&self) -> &str {
        match self {
            Self::Train(request) => &request.request_id,
            Self::PublishRetry(command) | Self::Cancel(command) => &command.request_id,
        }
    }

    /// Returns the requester that the message names. Only a signature proves that the requester sent it.
    pub fn requester_principal(&self) -> &str {
        match self {
            Self::Train(request) => &request.requester_principal,
            Self::PublishRetry(command) | Self::Cancel(command) => &command.requester_principal,
        }
    }

    /// Returns the type that a `CloudEvent` with this message must have.
    pub fn event_type(&self) -> &'static str {
        match self {
            Self::Train(_) => "io.modelfactory.train_build_request",
            Self::PublishRetry(_) => "io.modelfactory.publish_retry",
            Self::Cancel(_) => "io.modelfactory.cancel",
        }
    }

    pub fn refused(&self, code: FailureCode, pointer: &str, message: impl AsRef<str>) -> Rejection {
        let platform_run_id = match self {
            Self::Train(request) => Some(request.platform_run_id.clone()),
            Self::PublishRetry(_) | Self::Cancel(_) => None,
        };
        let ids = RejectedIds { request_id: Some(self.request_id().to_owned()), platform_run_id };
        Rejection::new(code, pointer, message.as_ref(), ids)
    }
}

/// Why a message is rejected. Intake writes one dead letter for the record and settles its offset. Build it with
/// [`Rejection::new`], which bounds its texts, because they go into headers, events and the audit log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code} at {pointer:?}: {message}")]
pub struct Rejection {
    pub code: FailureCode,
    /// JSON pointer to the wrong field, at most [`Self::POINTER_CAP`] bytes. Empty if the whole message is wrong.
    pub pointer: String,
    /// The rule that the message breaks, for people. At most [`Self::MESSAGE_CAP`] bytes.
    pub message: String,
    pub ids: RejectedIds,
}

impl Rejection {
    pub const POINTER_CAP: usize = 200;
    pub const MESSAGE_CAP: usize = 1_024;

    /// Escapes and cuts pointer and message, because both may quote the sender.
    pub fn new(code: FailureCode, pointer: &str, message: &str, ids: RejectedIds) -> Self {
        Self { code, pointer: line(pointer, Self::POINTER_CAP), message: line(message, Self::MESSAGE_CAP), ids }
    }

    /// Extends the pointer so that it starts at the record's value. `outer` is the JSON pointer to the message in that
    /// value.
    #[must_use]
    pub fn within(self, outer: &str) -> Self {
        Self { pointer: line(&format!("{outer}{}", self.pointer), Self::POINTER_CAP), ..self }
    }
}

/// Ids of a rejected message. A field is `None` if the id is missing or malformed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RejectedIds {
    pub request_id: Option<String>,
    pub platform_run_id: Option<String>,
}

impl RejectedIds {
    pub(super) fn of(message: &Map<String, Value>) -> Self {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-');
        let token = |name: &str, lengths: RangeInclusive<usize>| {
            let text = message.get(name).and_then(Value::as_str)?;
            (lengths.contains(&text.len()) && text.chars().all(allowed)).then(|| text.to_owned())
        };
        Self { request_id: token("request_id", 8..=128), platform_run_id: token("platform_run_id", 1..=128) }
    }
}

/// Why a message is rejected, before its ids are known: failure code, JSON pointer, broken rule.
pub(super) type Refused = (FailureCode, String, String);

pub(super) fn whole(code: FailureCode, rule: impl Into<String>) -> Refused {
    (code, String::new(), rule.into())
}
