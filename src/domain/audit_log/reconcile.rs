//! Reconciles a platform run: counts what the ledger holds about its runs, and finds contradictions.

use crate::domain::contract::{
    Anomaly, AnomalyCode, EventRefs, Head, IntentKind, ReconciledRun, Reconciliation, ReconciliationCounters,
};
use crate::domain::identity::RunId;
use crate::domain::run::{ExecutionMode, FailureCode, State};

/// A run as the ledger holds it, with counts of its rows.
#[derive(Debug, Clone)]
pub struct RunFacts {
    pub run_id: RunId,
    pub state: State,
    pub execution_mode: ExecutionMode,
    /// Failure code of the run's last step. `None` if that step had no failure code.
    pub reason: Option<FailureCode>,
    pub intent_kind: IntentKind,
    pub publish_allowed: bool,
    pub refs: EventRefs,
    /// Whether the audit log names the same evidence as `refs`. `None` if the evidence has not changed since the ledger
    /// notes when it does.
    pub evidence_logged: Option<bool>,
    pub requests: u64,
    /// State after the last stored step. `None` before the first step, and after the steps were pruned.
    pub last_step: Option<State>,
    pub admission_emitted: bool,
    /// Number of publications that the broker acknowledged.
    pub announcements: u64,
    /// Number of different record values among these publications. More than one is an anomaly.
    pub contents: u64,
}

impl RunFacts {
    /// Returns whether the run passed the gate. `None` if the gate has not decided.
    fn gate(&self) -> Option<bool> {
        match (self.state, self.execution_mode) {
            (State::Pass | State::PublishPending | State::Published, _)
            | (State::Running, ExecutionMode::PublishOnly) => Some(true),
            (State::Fail, _) if self.reason == Some(FailureCode::GateFail) => Some(false),
            _ => None,
        }
    }

    fn anomalies(&self) -> Vec<AnomalyCode> {
        let has = |role: &str| self.refs.contains_key(role);
        let published = self.state == State::Published;
        let parked = self.state == State::PublishPending && self.reason.is_some_and(|code| !code.is_retryable());
        let ended = matches!(self.state, State::Pass | State::Fail | State::Published);
        let publishable = self.intent_kind.is_publishable();
        let pruned = ended && self.last_step.is_none();
        let bundle_missing = self.gate() == Some(true) && publishable && !has("bundle/bundle.json");
        let evidence_missing = self.gate().is_some() && !(has("eval_report") && has("gate_receipt")) || bundle_missing;
        [
            (!ended && !parked, AnomalyCode::RunOpen),
            (parked, AnomalyCode::PublicationParked),
            (self.state == State::Pass && self.publish_allowed && publishable, AnomalyCode::PassNotPublished),
            (!self.admission_emitted && !pruned, AnomalyCode::AdmissionNotTold),
            (!pruned && self.last_step.unwrap_or(State::Queued) != self.state, AnomalyCode::StateNotExplained),
            (evidence_missing, AnomalyCode::EvidenceMissing),
            (self.evidence_logged == Some(false), AnomalyCode::EvidenceNotLogged),
            (published && self.announcements == 0, AnomalyCode::NotAnnounced),
            (self.contents > 1, AnomalyCode::AnnouncedDifferently),
            (published && !has("publish_receipt"), AnomalyCode::ReceiptMissing),
        ]
        .into_iter()
        .filter_map(|(holds, code)| holds.then_some(code))
        .collect()
    }
}

impl Reconciliation {
    /// Sums up all runs of a platform run. The counts `repeated` and `conflicting` are passed separately, because
    /// records that repeat or contradict a request belong to no run.
    pub fn of(platform_run_id: &str, as_of: Head, mut facts: Vec<RunFacts>, repeated: u64, conflicting: u64) -> Self {
        facts.sort_by(|a, b| a.run_id.cmp(&b.run_id));
        let count = |holds: &dyn Fn(&RunFacts) -> bool| facts.iter().filter(|run| holds(run)).count() as u64;
        let accepted: u64 = facts.iter().map(|run| run.requests).sum();
        let counters = ReconciliationCounters {
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
            evidence_logged: Some(true),
            requests: 1,
            last_step: if state == State::Queued { None } else { Some(state) },
            admission_emitted: true,
            announcements: u64::from(state == State::Published),
            contents: u64::from(state == State::Published),
        }
    }

    const WHOLE: [&str; 4] = ["eval_report", "gate_receipt", "bundle/bundle.json", "publish_receipt"];

    #[test]
    fn each_anomaly_is_found_where_it_is_one_and_nowhere_else() {
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
            (RunFacts { last_step: None, admission_emitted: false, ..published() }, &[]),
            (RunFacts { admission_emitted: false, ..published() }, &[A::AdmissionNotTold]),
            (facts(State::Pass, &WHOLE[..3]), &[A::PassNotPublished]),
            (RunFacts { publish_allowed: false, ..facts(State::Pass, &WHOLE[..3]) }, &[]),
            (RunFacts { intent_kind: IntentKind::CandidateEval, ..facts(State::Pass, &WHOLE[..3]) }, &[]),
            (RunFacts { publish_allowed: false, ..facts(State::Pass, &WHOLE[..2]) }, &[A::EvidenceMissing]),
            (failed(FailureCode::GateFail), &[A::EvidenceMissing]),
            (RunFacts { refs: published().refs, ..failed(FailureCode::GateFail) }, &[]),
            (failed(FailureCode::ManifestInvalid), &[]),
            (RunFacts { evidence_logged: Some(false), ..published() }, &[A::EvidenceNotLogged]),
            (RunFacts { evidence_logged: None, ..published() }, &[]),
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
