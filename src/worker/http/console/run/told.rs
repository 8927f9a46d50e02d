//! What was told of a run, and what it left.

use super::none;
use crate::adapters::ledger::{RunRecord, ToldEvent};
use crate::worker::http::console::serve::EVENTS;
use crate::worker::http::console::words::{capped, instant, segment, since};
use chrono::{DateTime, Utc};
use maud::{Markup, html};

pub(super) fn events(told: &[ToldEvent], now: DateTime<Utc>) -> Markup {
    if told.is_empty() {
        return none("There are none left: old events are pruned.");
    }
    html! {
        div.scroll {
            table.stack {
                thead {
                    tr {
                        th.right scope="col" { "No." }
                        th.after scope="col" { "Event" }
                        th scope="col" { "Put down" }
                        th scope="col" { "On its topic" }
                    }
                }
                tbody {
                    @for event in told.iter().take(EVENTS) {
                        tr {
                            td.right data-label="No." { @if let Some(seq) = event.seq { (seq) } @else { "–" } }
                            th.after scope="row" { (capped(&event.event_type)) }
                            td { (instant(event.created_at)) }
                            td {
                                @match (&event.sent, event.withdrawn_at) {
                                    (Some((at, coordinates)), _) => {
                                        "sent " (instant(*at)) br; code.soft { (coordinates) }
                                    },
                                    (None, Some(at)) => { "withdrawn " (instant(at)) },
                                    (None, None) => span.waits { "waits for " (since(now, event.created_at)) },
                                }
                            }
                        }
                    }
                }
            }
        }
        @if told.len() > EVENTS { p.note { "The latest " (EVENTS) " are shown." } }
    }
}

pub(super) fn evidence(run: &RunRecord) -> Markup {
    if run.refs.is_empty() {
        return none("It has left nothing yet.");
    }
    html! {
        div.scroll {
            table.stack {
                thead { tr { th scope="col" { "Role" } th scope="col" { "Where, and SHA-256 of its bytes" } } }
                tbody {
                    @for (role, at) in &run.refs {
                        tr {
                            th scope="row" {
                                a href=(format!("/runs/{}/evidence/{}", run.run_id, segment(role))) download { (role) }
                            }
                            td { code { (at.reference) } br; code.soft { (at.sha256) } }
                        }
                    }
                }
            }
        }
        p.note { "A link hands out what the store holds only where its digest is the one that stands here." }
    }
}
