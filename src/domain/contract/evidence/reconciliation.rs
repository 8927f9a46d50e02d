//! `Reconciliation`: what a platform run came to, counted from the ledger, and what does not add up.

use super::audit_acts::Head;
use crate::domain::identity::RunId;
use crate::domain::named::named;
use crate::domain::run::{FailureCode, State};
use serde::{Deserialize, Serialize};
use strum::{Display, EnumMessage, IntoStaticStr, VariantArray};

/// `reconciliation/<sha256>.json`. Nothing in it depends on who writes it, or when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reconciliation {
    pub schema_version: String,
    pub platform_run_id: String,
    /// The last block of the audit log that was counted.
    pub as_of: Head,
    pub counters: ReconciliationCounters,
    /// Sorted by id.
    pub runs: Vec<ReconciledRun>,
    /// In the order of the runs.
    pub anomalies: Vec<Anomaly>,
}

impl Reconciliation {
    pub const SCHEMA_VERSION: &'static str = "learning.mf_reconciliation.v0";
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReconciliationCounters {
    /// Admitted runs: one a meaning, however many requests ask for it.
    pub train_requested: u64,
    /// Runs with an evaluation report: their model was trained, or taken from a bundle, and measured.
    pub train_completed: u64,
    pub eval_pass: u64,
    pub eval_fail: u64,
    pub bundle_published: u64,
    /// Runs that failed before their gate.
    pub run_failed: u64,
    pub run_open: u64,
    pub requests_accepted: u64,
    /// Accepted request ids beyond the first of each run.
    pub requests_joined: u64,
    /// Records that brought a known request id with its content again.
    pub requests_repeated: u64,
    /// Records that brought a known request id with other content.
    pub requests_conflicting: u64,
    /// Announcements that the broker acknowledged, beyond the first of each run.
    pub announcements_repeated: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReconciledRun {
    pub run_id: RunId,
    pub state: State,
    /// Code of its last reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<FailureCode>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anomaly {
    pub code: AnomalyCode,
    pub run_id: RunId,
    pub meaning: String,
}

/// What does not add up, with a sentence for people.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Display,
    EnumMessage,
    IntoStaticStr,
    VariantArray,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum AnomalyCode {
    #[strum(message = "The run has not ended: it waits or is worked on.")]
    RunOpen,
    #[strum(message = "The publication waits for somebody who asks for it again.")]
    PublicationParked,
    #[strum(message = "The run passed, a request allows publication, and none was asked for.")]
    PassNotPublished,
    #[strum(message = "The run was admitted without an event that tells it.")]
    AdmissionNotTold,
    #[strum(message = "The run's last step does not lead to the state in which it is.")]
    StateNotExplained,
    #[strum(message = "The gate has decided, and the ledger names no evidence for it.")]
    EvidenceMissing,
    #[strum(message = "The run is PUBLISHED without an announcement that the broker acknowledged.")]
    NotAnnounced,
    #[strum(message = "Announcements with different content were acknowledged.")]
    AnnouncedDifferently,
    #[strum(message = "The run is PUBLISHED and has no receipt.")]
    ReceiptMissing,
}

named!(AnomalyCode, "{:?} is not an anomaly");

impl AnomalyCode {
    pub fn meaning(self) -> &'static str {
        self.get_message().expect("every anomaly has its sentence")
    }
}
