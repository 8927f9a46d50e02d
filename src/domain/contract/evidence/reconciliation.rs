//! `Reconciliation`: what became of a platform run's requests, counted in the ledger, and which rows contradict each
//! other.

use super::audit_acts::Head;
use crate::domain::identity::RunId;
use crate::domain::named::named;
use crate::domain::run::{FailureCode, State};
use serde::{Deserialize, Serialize};
use strum::{Display, EnumMessage, IntoStaticStr, VariantArray};

/// `reconciliation/<sha256>.json`. Its bytes depend only on the rows of the ledger, not on who writes it or when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reconciliation {
    pub schema_version: String,
    pub platform_run_id: String,
    /// The last block of the audit log at the time of counting.
    pub as_of: Head,
    pub counters: ReconciliationCounters,
    /// Sorted by run id.
    pub runs: Vec<ReconciledRun>,
    /// In the order of `runs`.
    pub anomalies: Vec<Anomaly>,
}

impl Reconciliation {
    pub const SCHEMA_VERSION: &'static str = "learning.mf_reconciliation.v0";
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReconciliationCounters {
    /// Number of runs. Requests with the same meaning share one run.
    pub train_requested: u64,
    /// Runs with an evaluation report: a model was trained, or taken from an earlier bundle, and then measured.
    pub train_completed: u64,
    pub eval_pass: u64,
    pub eval_fail: u64,
    pub bundle_published: u64,
    /// Runs that ended in FAIL before the gate decided.
    pub run_failed: u64,
    pub run_open: u64,
    pub requests_accepted: u64,
    /// Accepted requests that joined the run of an earlier request.
    pub requests_joined: u64,
    /// Records that repeated a known request id with the same content.
    pub requests_repeated: u64,
    /// Records that used a known request id with other content.
    pub requests_conflicting: u64,
    /// Number of acknowledged publications, not counting the first publication of each run.
    pub announcements_repeated: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReconciledRun {
    pub run_id: RunId,
    pub state: State,
    /// Failure code of the run's last step. `None` if that step had no failure code.
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

/// What keeps a platform run from adding up: an open run, or a contradiction between the ledger's rows. Has a sentence
/// for people.
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
    #[strum(message = "The ledger names other evidence of the run than the acts of the audit log.")]
    EvidenceNotLogged,
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
