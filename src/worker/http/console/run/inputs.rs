//! The inputs of a run.

use super::view::FoundDocument;
use crate::domain::contract::{TrainBuildRequest, TrainPlan};
use crate::domain::identity::Digest;
use crate::modelling::html_table;
use crate::worker::http::console::words::capped;
use maud::{Markup, html};

/// Inputs with their digests as the plan pins them; before there is a plan, as the request names them.
pub(super) fn inputs(request: &TrainBuildRequest, plan: &FoundDocument<TrainPlan>) -> Markup {
    let mut rows: Vec<(&str, String, Option<Digest>)> = Vec::new();
    if let Ok(Some(plan)) = plan {
        let pinned = |reference: &str, sha256: Digest| (reference.to_owned(), Some(sha256));
        let mut add = |name, (reference, digest)| rows.push((name, reference, digest));
        plan.manifests.iter().for_each(|of| add("Manifest", pinned(&of.reference, of.sha256)));
        plan.files.iter().for_each(|of| add("Data", pinned(&of.reference, of.sha256)));
        add("Training profile", pinned(&plan.training_profile.reference, plan.training_profile.sha256));
        add("Governance profile", pinned(&plan.governance_profile.reference, plan.governance_profile.sha256));
        plan.baseline.iter().for_each(|of| add("Bundle measured", pinned(&of.reference, of.sha256)));
        plan.champion.iter().for_each(|of| add("Champion", pinned(&of.bundle.reference, of.bundle.sha256)));
    } else {
        let named = request.dataset_manifest_refs.iter().map(|of| ("Manifest", of.as_str().to_owned(), None));
        rows.extend(named);
        rows.push(("Training profile", request.training_config_ref.as_str().to_owned(), None));
        rows.push(("Governance profile", request.governance_profile_ref.as_str().to_owned(), None));
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
