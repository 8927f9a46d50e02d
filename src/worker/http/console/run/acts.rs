//! What requesters and operators did with a run.

use super::view::none;
use crate::adapters::ledger::ActRecord;
use crate::worker::http::console::words::{capped, instant};
use maud::{Markup, html};

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
