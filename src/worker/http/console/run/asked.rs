//! What a run was asked: its inputs, every request that joined it and why, and what people did with it.

use super::{Document, RunView, none};
use crate::adapters::ledger::{ActRecord, RunRecord};
use crate::domain::contract::{Apart, Joined, TrainBuildRequest};
use crate::domain::identity::Digest;
use crate::modelling::TrainPlan;
use crate::worker::http::console::words::{badge, capped, instant, run_href};
use maud::{Markup, html};

/// Of each run that only looks the same so many fields are shown.
const FIELDS: usize = 20;

/// By the plan with the digests that were pinned; before there is one, as the request names them.
pub(super) fn inputs(request: &TrainBuildRequest, plan: &Document<TrainPlan>) -> Markup {
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
        div.scroll {
            table.stack {
                thead { tr { th scope="col" { "What" } th scope="col" { "Where, and SHA-256 of its bytes" } } }
                tbody {
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
                }
            }
        }
        @if matches!(plan, Ok(None)) { p.note { "Nothing is pinned yet: there is no plan." } }
    }
}

/// The answer of `runs explain`.
pub(super) fn requests(view: &RunView) -> Markup {
    let RunView { run, requests, .. } = view;
    html! {
        div.scroll {
            table.stack {
                thead {
                    tr {
                        th scope="col" { "Request" }
                        th scope="col" { "By" }
                        th scope="col" { "Admitted" }
                        th scope="col" { "Because" }
                        th scope="col" { "Differs without effect at" }
                    }
                }
                tbody {
                    @for request in requests {
                        @let joined = Joined::to(&run.request, &request.request);
                        tr {
                            th scope="row" { code { (request.request_id) } }
                            td { (capped(&request.request.requester_principal)) }
                            td { (instant(request.admitted_at)) }
                            td { (joined.because) }
                            td {
                                @if joined.ignored_differences.is_empty() { span.soft { "–" } }
                                @for (index, pointer) in joined.ignored_differences.iter().enumerate() {
                                    @if index > 0 { ", " } code { (pointer) }
                                }
                            }
                        }
                    }
                }
            }
        }
        @let more = view.request_count - requests.len() as i64;
        @if more > 0 { p.note { "And " (more) " more: " code { "model-factory runs explain " (run.run_id) } } }
        (meaning(run))
        @for other in &view.near { (near_miss(run, other, view.quiet)) }
    }
}

fn meaning(run: &RunRecord) -> Markup {
    html! {
        details {
            summary { "What makes requests this run" }
            p.note { "The run key is the SHA-256 of what was asked, in this form; order and repetition of manifests carry no meaning." }
            p { code { (run.request.run_key()) } }
            pre { (capped(&run.request.meaning().canonical())) }
            p.note {
                "Compared: "
                @for (index, pointer) in TrainBuildRequest::IDENTITY.iter().enumerate() {
                    @if index > 0 { ", " } code { (pointer) }
                }
            }
        }
    }
}

fn near_miss(run: &RunRecord, other: &RunRecord, quiet: bool) -> Markup {
    let differs = Apart::between(&run.request, &other.request);
    let name = |only: &Apart| match serde_json::to_value(&only.only_in) {
        Ok(serde_json::Value::Array(names)) => names
            .iter()
            .filter_map(|name| name.as_str())
            .map(|name| name.replace('_', " "))
            .collect::<Vec<_>>()
            .join(", "),
        _ => "more than its form".to_owned(),
    };
    html! {
        div.near {
            p {
                "Near miss: " a href=(run_href(other.run_id.as_str(), quiet)) { code { (other.run_id) } } " "
                (badge(other.state)) " is another run."
            }
            ul {
                @for field in differs.iter().take(FIELDS) {
                    li {
                        code { (field.pointer) } " differs only in " (name(field)) ": here "
                        code { (capped(&field.here.to_string())) } ", there " code { (capped(&field.there.to_string())) }
                    }
                }
            }
        }
    }
}

pub(super) fn acts(acts: &[ActRecord]) -> Markup {
    if acts.is_empty() {
        return none("Nobody asked for anything to be done with it.");
    }
    html! {
        div.scroll {
            table.stack {
                thead {
                    tr { @for name in ["At", "Act", "By", "Why", "Outcome"] { th scope="col" { (name) } } }
                }
                tbody {
                    @for act in acts {
                        tr {
                            td { (instant(act.at)) }
                            th scope="row" { (act.act) }
                            td { (capped(&act.actor)) }
                            td { (capped(&act.reason)) }
                            td {
                                @match &act.refused_code {
                                    Some(code) => { "refused, " code { (code) } },
                                    None => "done",
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
