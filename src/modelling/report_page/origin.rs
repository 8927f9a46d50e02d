//! What was asked for, and everything that the model and its verdict rest on.

use super::html_table::html_table;
use super::sources::ReportSources;
use crate::domain::contract::{ResolvedAlgorithm, TrainPlan};
use crate::domain::identity::Digest;
use maud::{Markup, html};

pub(super) fn request(plan: &TrainPlan) -> Markup {
    let parameters = match &plan.algorithm {
        ResolvedAlgorithm::Process(algorithm) => serde_json::to_value(&algorithm.parameters),
        ResolvedAlgorithm::BuiltIn(algorithm) => serde_json::to_value(&algorithm.parameters),
    }
    .unwrap_or_default();
    let features: Vec<&str> = plan.features.iter().map(|feature| feature.name.as_str()).collect();
    let set = &plan.feature_definition_set;
    let revisions = &plan.revisions;
    let pairs = [
        ("Intent", html! { code { (plan.intent_kind.as_str()) } }),
        ("Platform run", html! { code { (plan.platform_run_id) } }),
        (
            "Training profile",
            html! { (plan.training_profile.policy_id) ", revision " (plan.training_profile.revision) },
        ),
        ("Feature set", html! { (set.feature_set_id) " " (set.feature_set_version) }),
        ("Features", html! { (features.len()) ": " (features.join(", ")) }),
        ("Algorithm", html! { (plan.algorithm.id()) }),
        (
            "Parameters",
            html! {
                @for (index, (name, value)) in parameters.as_object().into_iter().flatten().enumerate() {
                    @if index > 0 { ", " } (name) " " (value)
                }
            },
        ),
        ("Seed", html! { code { (plan.seed) } }),
        (
            "Revisions",
            html! {
                "policy " code { (revisions.policy_revision) } ", configuration " code { (revisions.config_revision) }
                ", code " code { (revisions.mf_code_release_id) }
            },
        ),
    ];
    html_table("stack", &[], &html! { @for (name, value) in pairs { tr { th scope="row" { (name) } td { (value) } } } })
}

/// Every input and document with its reference and digest.
pub(super) fn lineage(sources: &ReportSources<'_>) -> Markup {
    let plan = sources.plan;
    let provenance = &sources.report.provenance;
    let mut listed: Vec<(&str, &str, Digest)> = Vec::new();
    listed.extend(plan.manifests.iter().map(|of| ("Manifest", of.reference.as_str(), of.sha256)));
    listed.extend(plan.files.iter().map(|of| ("Data", of.reference.as_str(), of.sha256)));
    listed.extend(plan.baseline.iter().map(|of| ("Bundle measured", of.reference.as_str(), of.sha256)));
    listed.extend(plan.champion.iter().map(|of| ("Champion", of.bundle.reference.as_str(), of.bundle.sha256)));
    for (name, of) in [("Training profile", &plan.training_profile), ("Governance profile", &plan.governance_profile)] {
        listed.push((name, &of.reference, of.sha256));
    }
    let documents = [
        ("Plan", Some(&provenance.resolved_train_plan)),
        ("Leakage report", Some(&provenance.leakage_report)),
        ("Model", Some(&provenance.model)),
        ("Scores", Some(&provenance.scores)),
        ("Evaluation report", sources.receipt.looked_at.get("eval_report")),
        ("Gate receipt", sources.receipt_at),
    ];
    for (name, of) in documents {
        listed.extend(of.map(|of| (name, of.reference.as_str(), of.sha256)));
    }
    let rows = html! {
        @for (name, reference, digest) in listed {
            tr {
                th scope="row" { (name) }
                td { code { (reference) } br; code.soft { (digest) } }
            }
        }
    };
    html_table("stack", &[("What", ""), ("Where, and SHA-256 of its bytes", "")], &rows)
}
