//! `CancelRequest`: asks to stop a run.

use crate::domain::identity::RunId;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelRequest {
    /// Always [`Self::SCHEMA_VERSION`].
    pub schema_version: String,
    /// Chosen by the requester.
    pub request_id: String,
    pub run_id: RunId,
    pub requester_principal: String,
    pub reason: String,
}

impl CancelRequest {
    /// The only version that this release reads.
    pub const SCHEMA_VERSION: &'static str = "learning.mf_cancel.v0";
}
