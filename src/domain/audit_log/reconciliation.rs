//! What a platform run came to, counted from the ledger, and what does not add up.

use super::Head;
use crate::domain::contract::{EventRefs, IntentKind};
use crate::domain::identity::RunId;
use crate::domain::run::{ExecutionMode, FailureCode, State};
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! anomalies {
    ($($variant:ident => $name:literal, $meaning:literal;)+) => {
        /// What does not add up.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum AnomalyCode {
            $(#[doc = $meaning] #[serde(rename = $name)] $variant,)+
        }

        impl AnomalyCode {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name in the document.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// What it means.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => $meaning,)+
                }
            }
        }
    };
}

anomalies! {
    RunOpen => "RUN_OPEN", "The run has not ended: it waits or is worked on.";
    PublicationParked => "PUBLICATION_PARKED", "The publication waits for somebody who asks for it again.";
    PassNotPublished => "PASS_NOT_PUBLISHED", "The run passed, a request allows publication, and none was asked for.";
    AdmissionNotTold => "ADMISSION_NOT_TOLD", "The run was admitted without an event that tells it.";
    StateNotExplained => "STATE_NOT_EXPLAINED", "The run's last step does not lead to the state in which it is.";
    EvidenceMissing => "EVIDENCE_MISSING", "The gate has decided, and the ledger names no evidence for it.";
    NotAnnounced => "NOT_ANNOUNCED", "The run is PUBLISHED without an announcement that the broker acknowledged.";
    AnnouncedDifferently => "ANNOUNCED_DIFFERENTLY", "Announcements with different content were acknowledged.";
    ReceiptMissing => "RECEIPT_MISSING", "The run is PUBLISHED and has no receipt.";
}

impl fmt::Display for AnomalyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A run as the ledger holds it, with what is counted about it.
#[derive(Debug, Clone)]
pub struct RunFacts {
    /// The run.
    pub run_id: RunId,
    /// Where it stands.
    pub state: State,
    /// What a worker does with it.
    pub execution_mode: ExecutionMode,
    /// Code of its last reason.
    pub reason: Option<FailureCode>,
    /// What kind of build.
    pub intent_kind: IntentKind,
    /// Whether any of its requests allows publication.
    pub publish_allowed: bool,
    /// Evidence by role.
    pub refs: EventRefs,
    /// Request ids that belong to it.
    pub requests: u64,
    /// Where its last step led; none before the first one, or once its history was pruned.
    pub last_step: Option<State>,
    /// Whether the event of its admission is there.
    pub admission_told: bool,
    /// Announcements that the broker acknowledged.
    pub announcements: u64,
    /// How many of them differ in content.
    pub contents: u64,
}

impl RunFacts {
    fn gate(&self) -> Option<bool> {
        match (self.state, self.execution_mode) {
            (State::Pass | State::PublishPending | State::Published, _)
            | (State::Running, ExecutionMode::PublishOnly) => Some(true),
            (State::Fail, _) if self.reason == Some(FailureCode::GateFail) => Some(false),
            _ => None,
        }
    }

    fn anomalies(&self) -> Vec<AnomalyCode> {
        let mut found = Vec::new();
        let mut note = |holds: bool, code: AnomalyCode| {
            if holds {
                found.push(code);
            }
        };
        let has = |role: &str| self.refs.contains_key(role);
        let published = self.state == State::Published;
        let parked = self.state == State::PublishPending && self.reason.is_some_and(|code| !code.is_retryable());
        let ended = matches!(self.state, State::Pass | State::Fail | State::Published);
        let publishable = self.intent_kind.is_publishable();
        let pruned = ended && self.last_step.is_none();
        let bundle_missing = self.gate() == Some(true) && publishable && !has("bundle/bundle.json");
        note(!ended && !parked, AnomalyCode::RunOpen);
        note(parked, AnomalyCode::PublicationParked);
        note(self.state == State::Pass && self.publish_allowed && publishable, AnomalyCode::PassNotPublished);
        note(!self.admission_told && !pruned, AnomalyCode::AdmissionNotTold);
        note(!pruned && self.last_step.unwrap_or(State::Queued) != self.state, AnomalyCode::StateNotExplained);
        note(
            self.gate().is_some() && !(has("eval_report") && has("gate_receipt")) || bundle_missing,
            AnomalyCode::EvidenceMissing,
        );
        note(published && self.announcements == 0, AnomalyCode::NotAnnounced);
        note(self.contents > 1, AnomalyCode::AnnouncedDifferently);
        note(published && !has("publish_receipt"), AnomalyCode::ReceiptMissing);
        found
    }
}

/// Numbers of a platform run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counters {
    /// Runs that were admitted: one a meaning, however often it was asked for.
    pub train_requested: u64,
    /// Runs whose model was trained, or taken up, and measured: they have an evaluation report.
    pub train_completed: u64,
    /// Runs that passed their gate.
    pub eval_pass: u64,
    /// Runs that failed their gate.
    pub eval_fail: u64,
    /// Runs that are PUBLISHED.
    pub bundle_published: u64,
    /// Runs that failed before their gate.
    pub run_failed: u64,
    /// Runs that have not ended.
    pub run_open: u64,
    /// Request ids that were accepted.
    pub requests_accepted: u64,
    /// Of those, beyond the first of each run.
    pub requests_joined: u64,
    /// Records that brought a known request id with its content again.
    pub requests_repeated: u64,
    /// Records that brought a known request id with other content.
    pub requests_conflicting: u64,
    /// Announcements that the broker acknowledged, beyond the first of each run.
    pub announcements_repeated: u64,
}

/// A run and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReconciledRun {
    /// The run.
    pub run_id: RunId,
    /// Where it stands.
    pub state: State,
    /// Code of its last reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<FailureCode>,
}

/// Something about a run that does not add up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anomaly {
    /// What.
    pub code: AnomalyCode,
    /// Of which run.
    pub run_id: RunId,
    /// In words.
    pub meaning: String,
}

/// `reconciliation/<sha256>.json`, `learning.mf_reconciliation.v0`. Nothing in it depends on who writes it, or when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reconciliation {
    /// Always [`Self::SCHEMA_VERSION`].
    pub schema_version: String,
    /// The platform run.
    pub platform_run_id: String,
    /// Where the audit log stood: what came after it is not counted.
    pub as_of: Head,
    /// The numbers.
    pub counters: Counters,
    /// Its runs, by id.
    pub runs: Vec<ReconciledRun>,
    /// What does not add up, by run.
    pub anomalies: Vec<Anomaly>,
}

impl Reconciliation {
    /// The version that this release writes.
    pub const SCHEMA_VERSION: &'static str = "learning.mf_reconciliation.v0";

    /// Counts. Records that repeat or contradict a request are no part of a run's row.
    pub fn of(platform_run_id: &str, as_of: Head, mut facts: Vec<RunFacts>, repeated: u64, conflicting: u64) -> Self {
        facts.sort_by(|a, b| a.run_id.cmp(&b.run_id));
        let count = |holds: &dyn Fn(&RunFacts) -> bool| facts.iter().filter(|run| holds(run)).count() as u64;
        let accepted: u64 = facts.iter().map(|run| run.requests).sum();
        let counters = Counters {
            train_requested: facts.len() as u64,
            train_completed: count(&|run| run.refs.contains_key("eval_report")),
            eval_pass: count(&|run| run.gate() == Some(true)),
            eval_fail: count(&|run| run.gate() == Some(false)),
            bundle_published: count(&|run| run.state == State::Published),
            run_failed: count(&|run| run.state == State::Fail && run.gate().is_none()),
            run_open: count(&|run| !matches!(run.state, State::Pass | State::Fail | State::Published)),
            requests_accepted: accepted,
            requests_joined: accepted.saturating_sub(facts.len() as u64),
            requests_repeated: repeated,
            requests_conflicting: conflicting,
            announcements_repeated: facts.iter().map(|run| run.announcements.saturating_sub(1)).sum(),
        };
        let anomaly = |run: &RunFacts, code: AnomalyCode| Anomaly {
            code,
            run_id: run.run_id.clone(),
            meaning: code.meaning().to_owned(),
        };
        Self {
            schema_version: Self::SCHEMA_VERSION.to_owned(),
            platform_run_id: platform_run_id.to_owned(),
            as_of,
            counters,
            anomalies: facts
                .iter()
                .flat_map(|run| run.anomalies().into_iter().map(|code| anomaly(run, code)))
                .collect(),
            runs: facts
                .into_iter()
                .map(|run| ReconciledRun { run_id: run.run_id, state: run.state, reason: run.reason })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::contract::EvidenceRef;
    use crate::domain::identity::Digest;

    fn facts(state: State, refs: &[&str]) -> RunFacts {
        let at = || EvidenceRef { reference: "x".to_owned(), sha256: Digest::of(b"x") };
        RunFacts {
            run_id: "tr_16a2ad9c3ad29e2e989ece1cb3c61936".parse().unwrap(),
            state,
            execution_mode: ExecutionMode::None,
            reason: None,
            intent_kind: IntentKind::BaselineTrain,
            publish_allowed: true,
            refs: refs.iter().map(|role| ((*role).to_owned(), at())).collect(),
            requests: 1,
            last_step: if state == State::Queued { None } else { Some(state) },
            admission_told: true,
            announcements: u64::from(state == State::Published),
            contents: u64::from(state == State::Published),
        }
    }

    const WHOLE: [&str; 4] = ["eval_report", "gate_receipt", "bundle/bundle.json", "publish_receipt"];

    #[test]
    fn each_anomaly_is_told_where_it_is_one_and_nowhere_else() {
        use AnomalyCode as A;
        let published = || facts(State::Published, &WHOLE);
        let failed = |reason| RunFacts { reason: Some(reason), ..facts(State::Fail, &[]) };
        let waiting = |reason| RunFacts { reason, ..facts(State::PublishPending, &WHOLE) };
        let cases: Vec<(RunFacts, &[A])> = vec![
            (published(), &[]),
            (RunFacts { announcements: 2, ..published() }, &[]),
            (RunFacts { announcements: 2, contents: 2, ..published() }, &[A::AnnouncedDifferently]),
            (RunFacts { announcements: 0, contents: 0, ..published() }, &[A::NotAnnounced]),
            (facts(State::Published, &WHOLE[..3]), &[A::ReceiptMissing]),
            (RunFacts { last_step: Some(State::Pass), ..published() }, &[A::StateNotExplained]),
            (RunFacts { last_step: None, admission_told: false, ..published() }, &[]),
            (RunFacts { admission_told: false, ..published() }, &[A::AdmissionNotTold]),
            (facts(State::Pass, &WHOLE[..3]), &[A::PassNotPublished]),
            (RunFacts { publish_allowed: false, ..facts(State::Pass, &WHOLE[..3]) }, &[]),
            (RunFacts { intent_kind: IntentKind::CandidateEval, ..facts(State::Pass, &WHOLE[..3]) }, &[]),
            (RunFacts { publish_allowed: false, ..facts(State::Pass, &WHOLE[..2]) }, &[A::EvidenceMissing]),
            (failed(FailureCode::GateFail), &[A::EvidenceMissing]),
            (RunFacts { refs: published().refs, ..failed(FailureCode::GateFail) }, &[]),
            (failed(FailureCode::ManifestInvalid), &[]),
            (facts(State::Queued, &[]), &[A::RunOpen]),
            (waiting(None), &[A::RunOpen]),
            (waiting(Some(FailureCode::PublishUnavailable)), &[A::RunOpen]),
            (waiting(Some(FailureCode::PublishRejected)), &[A::PublicationParked]),
        ];
        let mut seen: std::collections::BTreeSet<A> = std::collections::BTreeSet::new();
        for (run, expected) in cases {
            assert_eq!(run.anomalies(), expected, "{run:?}");
            seen.extend(expected);
        }
        assert_eq!(seen.len(), AnomalyCode::ALL.len());
    }
}
