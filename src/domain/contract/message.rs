//! A message from the request topic, checked and typed.

use super::{CancelRequest, PublishRetryRequest, RejectedIds, Rejection, TrainBuildRequest};
use crate::domain::run::FailureCode;
use std::sync::Arc;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    Train(Arc<TrainBuildRequest>),
    PublishRetry(PublishRetryRequest),
    Cancel(CancelRequest),
}

impl Message {
    /// Chosen by the requester.
    pub fn request_id(&self) -> &str {
        match self {
            Self::Train(request) => &request.request_id,
            Self::PublishRetry(command) => &command.request_id,
            Self::Cancel(command) => &command.request_id,
        }
    }

    /// As the message claims; a signature may prove it.
    pub fn requester_principal(&self) -> &str {
        match self {
            Self::Train(request) => &request.requester_principal,
            Self::PublishRetry(command) => &command.requester_principal,
            Self::Cancel(command) => &command.requester_principal,
        }
    }

    /// The type of a `CloudEvent` that carries this message.
    pub fn event_type(&self) -> &'static str {
        match self {
            Self::Train(_) => "io.modelfactory.train_build_request",
            Self::PublishRetry(_) => "io.modelfactory.publish_retry",
            Self::Cancel(_) => "io.modelfactory.cancel",
        }
    }

    /// A rejection of this message.
    pub fn refused(&self, code: FailureCode, pointer: &str, message: String) -> Rejection {
        let platform_run_id = match self {
            Self::Train(request) => Some(request.platform_run_id.clone()),
            Self::PublishRetry(_) | Self::Cancel(_) => None,
        };
        let ids = RejectedIds { request_id: Some(self.request_id().to_owned()), platform_run_id };
        Rejection { code, pointer: pointer.to_owned(), message, ids }
    }
}
