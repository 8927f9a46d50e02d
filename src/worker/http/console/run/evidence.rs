//! The documents that a run left.

use super::view::none;
use crate::adapters::ledger::RunRecord;
use crate::modelling::html_table;
use crate::worker::http::console::words::segment;
use maud::{Markup, html};

pub(super) fn evidence(run: &RunRecord) -> Markup {
    if run.refs.is_empty() {
        return none("It has left nothing yet.");
    }
    html! {
        (html_table("stack", &[("Role", ""), ("Where, and SHA-256 of its bytes", "")], &html! {
            @for (role, at) in &run.refs {
                tr {
                    th scope="row" {
                        a href=(format!("/runs/{}/evidence/{}", run.run_id, segment(role))) download { (role) }
                    }
                    td { code { (at.reference) } br; code.soft { (at.sha256) } }
                }
            }
        }))
        p.note { "A link hands out what the store holds only where its digest is the one that stands here." }
    }
}
