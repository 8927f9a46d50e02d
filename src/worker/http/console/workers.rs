//! `/workers`: which worker holds which run and which shards of the outbox.

use super::frame::{Here, Live, PageFrame, page};
use super::words::{badge, instant, length, progress, run_href};
use crate::adapters::ledger::{LeaseRow, Leases, ShardOwner};
use crate::modelling::{TableHeading, html_table};
use chrono::{DateTime, Utc};
use maud::{Markup, html};

pub(super) fn workers(found: &Leases, quiet: bool, worker: &str) -> Markup {
    let frame = PageFrame { title: "Workers", here: Here::Workers, live: Live::of("/workers", quiet), quiet, worker };
    let content = html! {
        h1 { "Workers" }
        section aria-label="Leases" {
            h2 { "Runs in hand" }
            @if found.runs.is_empty() { p.note { "No worker holds a run." } }
            @else { (leases(&found.runs, found.now, quiet)) }
        }
        section aria-label="Relays" {
            h2 { "The outbox" }
            (shards(&found.shards, found.now))
            p.note { "Each shard of the outbox is sent by one relay at a time, so that events of a run stay in order." }
        }
    };
    page(&frame, &content)
}

/// Renders when a lease expires, and the time until then or the word `expired`.
fn until(at: DateTime<Utc>, now: DateTime<Utc>) -> Markup {
    html! {
        (instant(at)) " "
        @if at > now { span.soft { "for " (length(at - now)) } } @else { span.waits { "expired" } }
    }
}

fn leases(runs: &[LeaseRow], now: DateTime<Utc>, quiet: bool) -> Markup {
    const HEADINGS: [TableHeading<'static>; 7] = [
        ("Worker", ""),
        ("Run", ""),
        ("State", ""),
        ("Attempt", "right"),
        ("Fence", "right"),
        ("Lease until", "after"),
        ("Progress", ""),
    ];
    html! {
        (html_table("list", &HEADINGS, &html! {
            @for lease in runs {
                tr {
                    td { code { (lease.owner) } }
                    th.name scope="row" { a.run href=(run_href(&lease.run_id, quiet)) { (lease.run_id) } }
                    td { (badge(lease.state)) @if lease.mode == "PUBLISH_ONLY" { " " span.soft { "publish only" } } }
                    td.right data-label="Attempt" { (lease.attempt) }
                    td.right data-label="Fence" { (lease.fence) }
                    td.after data-label="Lease until" { (until(lease.expires_at, now)) }
                    td { @if let Some(of) = lease.progress.get() { (progress(of)) } @else { span.soft { "–" } } }
                }
            }
        }))
    }
}

fn shards(owners: &[ShardOwner], now: DateTime<Utc>) -> Markup {
    html! {
        (html_table("list narrow", &[("Relay", ""), ("Shards", ""), ("Lease until", "")], &html! {
            @for held in owners {
                tr {
                    td { @match &held.owner { Some(owner) => code { (owner) }, None => span.waits { "nobody" } } }
                    td { (listed(&held.shards)) }
                    td { @if let Some(at) = held.expires_at { (until(at, now)) } @else { span.soft { "–" } } }
                }
            }
        }))
    }
}

/// Writes ascending numbers. Neighbours become a range: `0–3, 7`.
fn listed(numbers: &[i16]) -> String {
    let mut ranges: Vec<(i16, i16)> = Vec::new();
    for &number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if number == *last + 1 => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let range =
        |(first, last): &(i16, i16)| if first == last { first.to_string() } else { format!("{first}–{last}") };
    ranges.iter().map(range).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn neighbours_are_a_range() {
        assert_eq!(super::listed(&[0, 1, 2, 5, 7, 8]), "0–2, 5, 7–8");
        assert_eq!(super::listed(&[]), "");
    }
}
