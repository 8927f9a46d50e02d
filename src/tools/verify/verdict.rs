//! The verdict on a bundle, in one sentence.

use super::link::{BrokenLink, CheckedLink};
use super::signature::Signed;
use crate::domain::contract::{EvalReport, GateReceipt, TrainPlan};
use crate::domain::harmless::line;
use crate::domain::identity::{Digest, RunId};
use serde::Serialize;

/// What an auditor may say of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    /// Every link holds, and the given key signed the bundle.
    Verified,
    /// A link does not hold, or nobody checked who signed.
    #[strum(serialize = "NOT VERIFIED")]
    NotVerified,
    /// Every link holds, and nothing says who made the bundle.
    Unsigned,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verification {
    pub verdict: Verdict,
    /// The verdict in one sentence, with what it rests on.
    pub sentence: String,
    /// Whether every link holds. A bundle can be intact and not verified, if nobody checked who signed it.
    pub intact: bool,
    /// The bundle's id, computed from the files. `None` if the files are broken.
    pub bundle_id: Option<Digest>,
    pub bundle_version: Option<String>,
    /// The run that built the bundle, as `bundle.json` says. `None` if that file cannot be read.
    pub run_id: Option<RunId>,
    /// The given key, if it signed the bundle.
    pub signed_by: Option<Digest>,
    /// The links that hold, in the order in which they were checked.
    pub checked: Vec<CheckedLink>,
    /// Links that nobody could check, with the reason.
    pub open: Vec<CheckedLink>,
    /// The first link that does not hold. `None` if every link holds.
    pub broken: Option<BrokenLink>,
}

impl Verification {
    pub(super) fn begin() -> Self {
        Self {
            verdict: Verdict::NotVerified,
            sentence: String::new(),
            intact: false,
            bundle_id: None,
            bundle_version: None,
            run_id: None,
            signed_by: None,
            checked: Vec::new(),
            open: Vec::new(),
            broken: None,
        }
    }

    pub(super) fn conclude(&mut self, verdict: Verdict, sentence: &str) {
        self.verdict = verdict;
        self.sentence = format!("{verdict}: {sentence}");
    }
}

/// Says what a bundle is in which every link holds.
pub(super) fn of_intact(
    signed: &Signed,
    allow_unsigned: bool,
    (plan, report, receipt): (&TrainPlan, &EvalReport, &GateReceipt),
) -> (Verdict, String) {
    const ANYBODY: &str = "consistent, but anybody could have made it";
    match signed {
        Signed::By(key) => {
            let made = made_from(plan, report);
            let policy = &plan.governance_profile;
            let (name, revision) = (line(&policy.policy_id, 100), line(&policy.revision, 100));
            let conditions = receipt.conditions();
            let passed = format!("gate passed all {conditions} conditions of policy {name}, revision {revision}");
            (Verdict::Verified, format!("signed by the key {key}, made from {made}, {passed}"))
        }
        Signed::BySomebody if allow_unsigned => {
            (Verdict::Unsigned, format!("{ANYBODY}; nobody checked its signature, since no key was given"))
        }
        Signed::BySomebody => {
            let todo = "take the public key from whoever published the bundle, not from the signature, and give it \
                        with --public-key";
            (Verdict::NotVerified, format!("it is not shown who signed the bundle, since no key was given; {todo}"))
        }
        Signed::ByNobody => (Verdict::Unsigned, ANYBODY.to_owned()),
    }
}

fn made_from(plan: &TrainPlan, report: &EvalReport) -> String {
    let (manifests, files) = (counted(plan.manifests.len(), "manifest"), counted(plan.files.len(), "data file"));
    let (rows, scope) = (report.metrics.dataset.rows, line(&plan.target_scope.scope_key(), 200));
    let code = line(&plan.revisions.mf_code_release_id, 100);
    format!("{files} of {manifests} with {rows} rows by code {code} for {scope}")
}

/// Writes a number with the name of the things that are counted.
pub(super) fn counted(count: usize, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}
