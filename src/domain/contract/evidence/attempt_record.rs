//! `AttemptRecord`: when an attempt at a run began and ended, and where.

use crate::domain::contract::Limits;
use crate::domain::identity::RunId;
use chrono::{DateTime, Utc};
use serde::Serialize;

/// `attempts/<fence>.json`, the only document with clock values.
#[derive(Serialize)]
pub struct AttemptRecord<'a> {
    /// Always [`Self::SCHEMA_VERSION`].
    pub schema_version: &'static str,
    pub run_id: &'a RunId,
    pub attempt: u32,
    pub fence: i64,
    pub worker: &'a str,
    /// Name and version of the program.
    pub build: &'static str,
    pub started_at_utc: DateTime<Utc>,
    pub ended_at_utc: DateTime<Utc>,
    /// `PASS` or a failure code.
    pub ended_with: &'a str,
    /// Left out where the attempt ended before its trainer started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trainer: Option<&'a GrantedLimits>,
}

impl AttemptRecord<'_> {
    /// The version that this release writes.
    pub const SCHEMA_VERSION: &'static str = "learning.attempt_record.v0";
}

/// What an attempt's trainer may use: what its profile asks for, under the bounds of operator and machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GrantedLimits {
    pub limits: Limits,
    /// Threads of the fit.
    pub threads: u32,
}
