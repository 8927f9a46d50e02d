//! `CancelRequest` and `PublishRetryRequest`: ask to stop a run, or to announce its bundle again without training.

use crate::domain::identity::RunId;
use serde::{Deserialize, Serialize};

/// A command about a run. Its `schema_version` says which one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandMessage {
    pub schema_version: String,
    pub request_id: String,
    pub run_id: RunId,
    pub requester_principal: String,
    pub reason: String,
}

impl CommandMessage {
    pub const CANCEL: &'static str = "learning.mf_cancel.v0";
    pub const PUBLISH_RETRY: &'static str = "learning.mf_publish_retry.v0";
}
