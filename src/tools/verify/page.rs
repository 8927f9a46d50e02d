//! Collects what the page about a check shows.

use super::Verified;
use super::expected::Expected;
use super::link::{CheckedLink, Link};
use super::verdict::{Verdict, Verification, counted};
use super::witness::Witnessed;
use crate::domain::contract::{ResolvedAlgorithm, TrainPlan};
use crate::domain::harmless::line;
use crate::domain::identity::Digest;
use crate::modelling::{PageVerdict, StatementFinding, VerificationPage, verification_page};
use crate::version;
use chrono::{DateTime, SecondsFormat, Utc};
use std::path::Path;
use strum::VariantArray as _;

/// When, where and with which program a check was made.
#[derive(Debug, Clone)]
pub struct PageCircumstances<'a> {
    pub at: DateTime<Utc>,
    pub folder: &'a Path,
    pub program_sha256: Digest,
}

/// Writes the page about a check. `verified` are the bundle's parts, if every link holds.
pub fn page(
    verification: &Verification,
    verified: Option<&Verified>,
    expected: &Expected,
    circumstances: &PageCircumstances<'_>,
) -> String {
    let word = verification.verdict.to_string();
    let sentence = verification.sentence.trim_start_matches(word.as_str()).trim_start_matches([':', ' ']);
    let title = match (verified, &verification.run_id) {
        (Some(verified), _) => format!("Fraud model for {}", line(&verified.plan.target_scope.scope_key(), 200)),
        (None, Some(run_id)) => format!("Bundle of {run_id}"),
        (None, None) => "A folder that is no bundle".to_owned(),
    };
    verification_page(&VerificationPage {
        verdict: match verification.verdict {
            Verdict::Verified => PageVerdict::Good,
            Verdict::NotVerified if verification.intact => PageVerdict::Open,
            Verdict::NotVerified => PageVerdict::Bad,
            Verdict::Unsigned => PageVerdict::Open,
        },
        word: &word,
        sentence,
        title: &title,
        checked_at: circumstances.at,
        facts: &facts(verification, verified, circumstances),
        statements: &statements(verification, expected),
        receipt: verified.map(|verified| &verified.receipt),
        limits: &LIMITS,
    })
}

const LIMITS: [&str; 5] = [
    "Whether the measured values are right. Whoever may read the data finds out with “model-factory reproduce”, which \
     trains the model again.",
    "Whether the required bounds are those of the governance profile. The bundle names the profile by its digest and does \
     not hold it.",
    "When the bundle was signed, and whether the holder of the key was right to sign it.",
    "Whether receipts, requests and events that were given and are not signed are genuine. They are as good as their source.",
    "Whether somebody changes the files after this check. Load the copy that was checked.",
];

fn facts(
    verification: &Verification,
    verified: Option<&Verified>,
    circumstances: &PageCircumstances<'_>,
) -> Vec<(&'static str, String)> {
    // What a document says, or which one would say it.
    let said = |of: fn(&Witnessed) -> &Option<String>, document: &str| match verified
        .map(|verified| of(&verified.witnessed))
    {
        Some(Some(said)) => said.clone(),
        Some(None) => format!("Not known: {document} was not given to this check."),
        None => "Not shown, since a statement below is false.".to_owned(),
    };
    let folder = line(&circumstances.folder.display().to_string(), 400);
    let mut facts = vec![
        ("Checked", format!("{}, in the folder {folder}", circumstances.at.to_rfc3339_opts(SecondsFormat::Secs, true))),
        ("Checked with", checked_with(&circumstances.program_sha256)),
    ];
    if let Some(id) = verification.bundle_id {
        facts.push(("Bundle", format!("{id}, version {}", verification.bundle_version.as_deref().unwrap_or_default())));
    }
    let signed_by = match (verification.signed_by, verification.intact) {
        (Some(key), _) => format!("the key {key}, which was given to this check"),
        (None, true) => "Not known: nobody's signature was checked.".to_owned(),
        (None, false) if verification.broken.as_ref().is_some_and(|broken| broken.link == Link::Signature) => {
            "Not the holder of the key that was given to this check.".to_owned()
        }
        (None, false) => "Not known: the check ended before the signature.".to_owned(),
    };
    facts.push(("Signed by", signed_by));
    if let Some(verified) = verified {
        facts.push(("Made by", made_by(&verified.plan)));
        facts.push(("Made from", made_from(&verified.plan)));
        facts.push(("Judged by the policy", policy(&verified.plan)));
    }
    facts.push(("Who asked for it", said(|of| &of.requester, "the request (--request)")));
    facts
        .push(("Whether the registry approved it", said(|of| &of.approval, "the registry's event (--registry-event)")));
    facts.push(("Published as", said(|of| &of.published, "the publication receipt (--receipt)")));
    facts
}

fn checked_with(program: &Digest) -> String {
    let (version, commit, target) = (version::VERSION, version::COMMIT, version::target());
    let for_whom = if version::PROFILE == "release" { "" } else { ", built for development, not for decisions" };
    format!("model-factory {version}, commit {commit}, {target}{for_whom}; the program's file has the digest {program}")
}

fn policy(plan: &TrainPlan) -> String {
    let profile = &plan.governance_profile;
    let (name, revision, reference) =
        (line(&profile.policy_id, 100), line(&profile.revision, 100), line(&profile.reference, 200));
    format!("{name}, revision {revision}, from {reference} with digest {}", profile.sha256)
}

/// Names the program that trained, as far as the plan pins it.
fn made_by(plan: &TrainPlan) -> String {
    let code = line(&plan.revisions.mf_code_release_id, 100);
    match &plan.algorithm {
        ResolvedAlgorithm::BuiltIn(algorithm) => {
            format!("the trainer {} of the release {code}, in the run {}", line(&algorithm.id, 100), plan.run_id)
        }
        ResolvedAlgorithm::Process(algorithm) => format!(
            "the registered command {}, program with digest {}, started by the release {code}, in the run {}",
            line(&algorithm.id, 100),
            algorithm.command.program_sha256,
            plan.run_id
        ),
    }
}

fn made_from(plan: &TrainPlan) -> String {
    let rows: u64 = plan.files.iter().map(|file| file.rows).fold(0, u64::saturating_add);
    let (files, manifests) = (counted(plan.files.len(), "data file"), counted(plan.manifests.len(), "manifest"));
    let as_of = plan.label_basis.label_asof_utc.to_rfc3339_opts(SecondsFormat::Secs, true);
    format!("{files} with {rows} rows, pinned by {manifests}; labels as of {as_of}")
}

fn statements(verification: &Verification, expected: &Expected) -> Vec<(&'static str, StatementFinding)> {
    let given = |link: &&Link| match link {
        Link::Publication => expected.receipt.is_some(),
        Link::Requester => expected.request.is_some(),
        Link::Approval => expected.registry_event.is_some(),
        Link::Id => expected.bundle_id.is_some(),
        _ => true,
    };
    let finding = |link: Link| {
        if let Some(broken) = verification.broken.as_ref().filter(|broken| broken.link == link) {
            return StatementFinding::Broken(broken.why.clone());
        }
        let of = |links: &[CheckedLink]| links.iter().find(|one| one.link == link).map(|one| one.checked.clone());
        match (of(&verification.checked), of(&verification.open)) {
            (Some(checked), _) => StatementFinding::Holds(checked),
            (None, Some(why)) => StatementFinding::Unknown(why),
            (None, None) => StatementFinding::Unknown("the check ended at a statement that is false".to_owned()),
        }
    };
    Link::VARIANTS.iter().filter(given).map(|link| (link.statement(), finding(*link))).collect()
}
