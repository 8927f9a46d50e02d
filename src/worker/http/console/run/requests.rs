//! Renders the requests that joined a run, why they joined, and the run's near misses.

use super::RunView;
use crate::adapters::ledger::RunRecord;
use crate::domain::contract::{Apart, Joined, TrainBuildRequest};
use crate::modelling::{TableHeading, html_table};
use crate::worker::http::console::words::{badge, capped, instant, run_href};
use maud::{Markup, html};
use serde_json::{Value, json};

/// Upper bound on the differing fields that the page shows for each near miss.
const FIELDS: usize = 20;

/// Shows what `runs explain` prints: why each request joined the run, and the near misses.
pub(super) fn requests(view: &RunView) -> Markup {
    let RunView { run, requests, .. } = view;
    const HEADINGS: [TableHeading<'static>; 5] =
        [("Request", ""), ("By", ""), ("Admitted", ""), ("Because", ""), ("Differs without effect at", "")];
    html! {
        (html_table("stack", &HEADINGS, &html! {
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
        }))
        @let more = view.request_count - requests.len() as i64;
        @if more > 0 { p.note { "And " (more) " more: " code { "model-factory runs explain " (run.run_id) } } }
        (meaning(run))
        @for other in &view.near_misses { (near_miss(run, other, view.quiet)) }
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
    let name = |field: &Apart| match json!(field.only_in).as_array() {
        Some(kinds) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ").replace('_', " "),
        None => "more than its form".to_owned(),
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
