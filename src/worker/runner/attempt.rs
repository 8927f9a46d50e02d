//! One attempt at a run: when it began, its bounds, and the record that it leaves.

use super::bounds::Given;
use super::desk::Desk;
use super::{Interrupted, Runner};
use crate::adapters::ledger::Lease;
use crate::clock;
use crate::domain::identity::RunId;
use crate::domain::run::FailureCode;
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::sync::OnceLock;

/// What is known when an attempt begins.
pub(super) struct Attempt {
    pub(super) started_at: DateTime<Utc>,
    /// What its trainer was given, once there is one.
    pub(super) given: OnceLock<Given>,
    run_id: RunId,
    fence: i64,
    number: u32,
    worker: String,
}

/// `attempts/<fence>.json`, the only document with clock values: `learning.attempt_record.v0`.
#[derive(Serialize)]
struct AttemptRecord<'a> {
    schema_version: &'static str,
    run_id: &'a RunId,
    attempt: u32,
    fence: i64,
    worker: &'a str,
    build: &'static str,
    started_at_utc: DateTime<Utc>,
    ended_at_utc: DateTime<Utc>,
    ended_with: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trainer: Option<&'a Given>,
}

impl Attempt {
    pub(super) fn begin(lease: &Lease) -> Self {
        Self {
            started_at: clock::system_time().into(),
            given: OnceLock::new(),
            run_id: lease.run_id.clone(),
            fence: lease.fence,
            number: lease.attempt,
            worker: lease.worker.clone(),
        }
    }
}

impl Runner {
    /// Records how an attempt ended. `ended_with` is `PASS`, `GATE_FAIL` or a failure code.
    pub(super) async fn record_attempt(
        &self,
        desk: &Desk<'_>,
        attempt: &Attempt,
        ended_with: &str,
    ) -> Result<(), Interrupted> {
        let record = AttemptRecord {
            schema_version: "learning.attempt_record.v0",
            run_id: &attempt.run_id,
            attempt: attempt.number,
            fence: attempt.fence,
            worker: &attempt.worker,
            build: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")),
            started_at_utc: attempt.started_at,
            ended_at_utc: clock::system_time().into(),
            ended_with,
            trainer: attempt.given.get(),
        };
        let path = desk.folder.attempt(attempt.fence);
        desk.document("attempt", &path, &record, FailureCode::ExecutionRecordImmutabilityViolation).await?;
        Ok(())
    }
}
