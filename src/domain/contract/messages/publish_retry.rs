//! `PublishRetryRequest`: asks to announce the bundle of a run again.

use crate::domain::identity::RunId;
use serde::{Deserialize, Serialize};

/// Never trains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishRetryRequest {
    /// Always [`Self::SCHEMA_VERSION`].
    pub schema_version: String,
    /// Chosen by the requester.
    pub request_id: String,
    pub run_id: RunId,
    pub requester_principal: String,
    pub reason: String,
}

impl PublishRetryRequest {
    /// The only version that this release reads.
    pub const SCHEMA_VERSION: &'static str = "learning.mf_publish_retry.v0";
}
