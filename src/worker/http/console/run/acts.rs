//! What requesters and operators did with a run.

use super::view::none;
use crate::adapters::ledger::ActRecord;
use crate::modelling::html_table;
use crate::worker::http::console::words::{capped, instant};
use maud::{Markup, html};

pub(super) fn acts(acts: &[ActRecord]) -> Markup {
    if acts.is_empty() {
        return none("Nobody asked for anything to be done with it.");
    }
    html! {
        (html_table("stack", &["At", "Act", "By", "Why", "Outcome"].map(|title| (title, "")), &html! {
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
        }))
    }
}
