//! `/health`: how many records and runs wait, and whether this worker works.

use super::frame::{Here, Live, PageFrame, page};
use super::words::{ago, counted, instant, length};
use crate::adapters::ledger::{Backlog, Depth, Ledger};
use crate::modelling::html_table;
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use std::collections::BTreeMap;

pub(super) struct HealthView {
    /// How many records and runs wait. An error says why the ledger cannot be read.
    pub(super) depth: Result<Depth, String>,
    /// Names of this worker's loops whose next turn is overdue.
    pub(super) late: Vec<String>,
    /// What this worker needs and does not have. The key is the need's name. The value is the reason.
    pub(super) missing: BTreeMap<&'static str, String>,
    /// Whether this worker drains: it takes no new work.
    pub(super) draining: bool,
    pub(super) quiet: bool,
}

pub(super) fn health(view: &HealthView, worker: &str) -> Markup {
    let live = Live::of("/health", view.quiet);
    let frame = PageFrame { title: "Health", here: Here::Health, live, quiet: view.quiet, worker };
    let content = html! {
        h1 { "Health" }
        section aria-label="This worker" {
            h2 { "This worker" }
            (this_worker(view))
        }
        section aria-label="What waits" {
            h2 { "What waits, for all workers" }
            @match &view.depth {
                Ok(depth) => (waiting(depth)),
                Err(why) => p.missing { "The ledger does not say: " (why) },
            }
        }
    };
    page(&frame, &content)
}

fn this_worker(view: &HealthView) -> Markup {
    html! {
        ul.checks {
            @if view.draining { li.broken { "It drains: it takes no new work." } } @else { li.holds { "It takes new work." } }
            @if view.late.is_empty() { li.holds { "Its loops turn." } }
            @for name in &view.late { li.broken { "The loop " code { (name) } " is late: it should have turned by now." } }
            @if view.missing.is_empty() { li.holds { "All that it needs is at hand." } }
            @for (name, why) in &view.missing { li.broken { "The " (name) " is not at hand: " (why) } }
        }
        p.note { "The same for machines: " a href="/livez" { "/livez" } ", " a href="/readyz" { "/readyz" } ", " a href="/metrics" { "/metrics" } "." }
    }
}

fn waiting(depth: &Depth) -> Markup {
    let kinds = [
        ("LIFECYCLE", "Lifecycle events"),
        ("PUBLICATION", "Publications"),
        ("DEAD_LETTER", "Dead letters"),
        ("LINEAGE", "Lineage events"),
    ];
    html! {
        (html_table("list narrow", &[("What", ""), ("Waiting", "right"), ("The oldest", "after")], &html! {
            (line("Runs that no worker has taken", &depth.queued, depth.now))
            (line("Bundles cleared, not yet published", &depth.publications, depth.now))
            @for (kind, backlog) in &depth.outbox {
                @let name = kinds.iter().find(|(known, _)| known == kind).map_or(kind.as_str(), |(_, name)| name);
                (line(&format!("{name} to be sent"), backlog, depth.now))
            }
            @if depth.set_aside.waiting > 0 {
                (line("Records that their topic refused, set aside", &depth.set_aside, depth.now))
            }
            tr {
                th scope="row" { "Answers of the registry" }
                td.right data-label="Waiting" { (counted(depth.answers.waiting, Ledger::MOST_COUNTED)) }
                td.after data-label="Oldest" {
                    @match depth.answers.oldest {
                        Some(due) if due < depth.now => span.waits { "overdue for " (length(depth.now - due)) },
                        Some(due) => { "due " (instant(due)) },
                        None => span.soft { "–" },
                    }
                }
            }
        }))
        p.note { "Bundles by their last change, everything else by when it came." }
    }
}

fn line(name: &str, backlog: &Backlog, now: DateTime<Utc>) -> Markup {
    html! {
        tr {
            th scope="row" { (name) }
            td.right data-label="Waiting" { (counted(backlog.waiting, Ledger::MOST_COUNTED)) }
            td.after data-label="Oldest" { @if let Some(at) = backlog.oldest { (ago(now, at)) } @else { span.soft { "–" } } }
        }
    }
}
