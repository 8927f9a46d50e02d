//! The documents of a run: its inputs, its results, and the list of all others. Results are shown only from documents
//! whose digest was checked.

use super::{FoundDocument, none};
use crate::adapters::ledger::EvidenceRecord;
use crate::domain::contract::{DecisionReport, EvalReport, GateReceipt, TrainBuildRequest, TrainPlan};
use crate::domain::identity::{Digest, RunId};
use crate::modelling::{
    curve_plots, decision_table, findings_table, gate_table, html_table, metrics_table, verdict_line,
};
use crate::worker::http::console::words::{capped, segment};
use maud::{Markup, html};

/// Renders the inputs with the digests that the plan pins. Before there is a plan, renders them as the request names
/// them.
pub(super) fn inputs(request: &TrainBuildRequest, plan: &FoundDocument<TrainPlan>) -> Markup {
    let mut rows: Vec<(&str, &str, Option<Digest>)> = Vec::new();
    if let Ok(Some(plan)) = plan {
        let mut pinned = |name, reference, sha256| rows.push((name, reference, Some(sha256)));
        plan.manifests.iter().for_each(|of| pinned("Manifest", &of.reference, of.sha256));
        plan.files.iter().for_each(|of| pinned("Data", &of.reference, of.sha256));
        pinned("Training profile", &plan.training_profile.reference, plan.training_profile.sha256);
        pinned("Governance profile", &plan.governance_profile.reference, plan.governance_profile.sha256);
        plan.baseline.iter().for_each(|of| pinned("Bundle measured", &of.reference, of.sha256));
        plan.champion.iter().for_each(|of| pinned("Champion", &of.bundle.reference, of.bundle.sha256));
    } else {
        rows.extend(request.dataset_manifest_refs.iter().map(|of| ("Manifest", of.as_str(), None)));
        rows.push(("Training profile", request.training_config_ref.as_str(), None));
        rows.push(("Governance profile", request.governance_profile_ref.as_str(), None));
    }
    html! {
        @if let Err(why) = plan { p.missing { "The plan cannot be shown: " (why) } }
        (html_table("stack", &[("What", ""), ("Where, and SHA-256 of its bytes", "")], &html! {
            @for (name, reference, digest) in &rows {
                tr {
                    th scope="row" { (name) }
                    td {
                        code { (capped(reference)) }
                        @if let Some(digest) = digest { br; code.soft { (digest) } }
                    }
                }
            }
            tr {
                th scope="row" { "Revisions" }
                td {
                    "policy " code { (capped(&request.policy_revision)) }
                    ", configuration " code { (capped(&request.config_revision)) }
                    ", code " code { (capped(&request.mf_code_release_id)) }
                }
            }
            tr { th scope="row" { "Platform run" } td { code { (request.platform_run_id) } } }
        }))
        @if matches!(plan, Ok(None)) { p.note { "Nothing is pinned yet: there is no plan." } }
    }
}

/// Renders the document with `show`. Otherwise renders that it is not written yet, or why it cannot be shown.
fn shown<T>(document: &FoundDocument<T>, name: &str, show: impl Fn(&T) -> Markup) -> Markup {
    match document {
        Ok(Some(document)) => show(document),
        Ok(None) => none(&format!("There is no {name} yet.")),
        Err(why) => html! { p.missing { "The " (name) " cannot be shown: " (why) } },
    }
}

pub(super) fn gate(receipt: &FoundDocument<GateReceipt>) -> Markup {
    shown(receipt, "gate receipt", |receipt| html! { (verdict_line(receipt)) (gate_table(receipt)) })
}

pub(super) fn decision(report: &FoundDocument<DecisionReport>) -> Markup {
    shown(report, "decision report", decision_table)
}

pub(super) fn metrics(report: &FoundDocument<EvalReport>, plan: &FoundDocument<TrainPlan>) -> Markup {
    shown(report, "evaluation report", |report| shown(plan, "plan", |plan| metrics_table(report, plan)))
}

pub(super) fn curves(report: &FoundDocument<EvalReport>) -> Markup {
    shown(report, "evaluation report", curve_plots)
}

pub(super) fn findings(report: &FoundDocument<EvalReport>) -> Markup {
    shown(report, "evaluation report", findings_table)
}

pub(super) fn evidence(run_id: &RunId, evidence: &EvidenceRecord) -> Markup {
    let EvidenceRecord { refs, unlogged } = evidence;
    if refs.is_empty() && unlogged.is_empty() {
        return none("It has left nothing yet.");
    }
    html! {
        @if !unlogged.is_empty() {
            p.missing {
                "The run's row and the acts of the audit log name different documents here. Somebody changed the row beside the \
                 log. None of these documents is handed out:"
                @for role in unlogged { " " code { (capped(role)) } }
            }
        }
        (html_table("stack", &[("Role", ""), ("Where, and SHA-256 of its bytes", "")], &html! {
            @for (role, at) in refs {
                tr {
                    th scope="row" {
                        @if unlogged.contains(role) {
                            (capped(role))
                        } @else {
                            a href=(format!("/runs/{run_id}/evidence/{}", segment(role))) download { (role) }
                        }
                    }
                    td { code { (at.reference) } br; code.soft { (at.sha256) } }
                }
            }
        }))
        p.note { "A link hands out what the store holds only where its digest is the one that stands here and in the audit log." }
    }
}
