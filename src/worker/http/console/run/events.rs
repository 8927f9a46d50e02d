//! The events of a run.

use super::view::{EVENTS, none};
use crate::adapters::ledger::EmittedEvent;
use crate::modelling::html_table;
use crate::worker::http::console::words::{capped, instant, since};
use chrono::{DateTime, Utc};
use maud::{Markup, html};

/// The newest `EVENTS` of `latest`, newest first.
pub(super) fn events(latest: &[EmittedEvent], now: DateTime<Utc>) -> Markup {
    if latest.is_empty() {
        return none("There are none left: old events are pruned.");
    }
    html! {
        (html_table("stack", &[("No.", "right"), ("Event", "after"), ("Put down", ""), ("On its topic", "")], &html! {
            @for event in latest.iter().take(EVENTS) {
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
        }))
        @if latest.len() > EVENTS { p.note { "The latest " (EVENTS) " are shown." } }
    }
}
