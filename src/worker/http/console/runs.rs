//! `/`: the list of runs.

use super::frame::{Here, Live, PageFrame, page, pager};
use super::query::{RunsQuery, SEARCHES};
use super::words::{ago, badge, capped, counted, progress, run_href};
use crate::adapters::ledger::{Ledger, PagePart, RunCursor, RunPage, RunRow};
use crate::domain::run::State;
use crate::modelling::{TableHeading, html_table};
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use std::collections::BTreeMap;

pub(super) struct RunsView {
    pub(super) query: RunsQuery,
    pub(super) counts: BTreeMap<&'static str, i64>,
    pub(super) page: RunPage,
}

pub(super) fn runs(view: &RunsView, worker: &str) -> Markup {
    let RunsView { query, page: found, .. } = view;
    let switched = RunsQuery { quiet: !query.quiet, ..query.clone() }.href();
    let live = if query.quiet { Live::Off(switched) } else { Live::On(switched) };
    let frame = PageFrame { title: "Runs", here: Here::Runs, live, quiet: query.quiet, worker };
    let turned = |to: fn(RunCursor) -> PagePart<RunCursor>, cursor: &Option<RunCursor>| {
        cursor.clone().map(|cursor| RunsQuery { part: to(cursor), ..query.clone() }.href())
    };
    let (newer, older) = (turned(PagePart::NewerThan, &found.newer), turned(PagePart::OlderThan, &found.older));
    let content = html! {
        h1 { "Runs" }
        (states(view))
        (search(query))
        @if found.rows.is_empty() { (nothing(view)) } @else { (table(&found.rows, found.now, query.quiet)) }
        @if let Some(looked) = found.stopped_after {
            p.note role="status" {
                "Looked through " (counted(looked as i64, i64::MAX)) " runs and stopped there; “Older” goes on."
            }
        }
        (pager(newer.as_deref(), older.as_deref()))
    };
    page(&frame, &content)
}

/// Renders a link for each state, with the number of runs in that state.
fn states(view: &RunsView) -> Markup {
    let all: i64 = view.counts.values().sum();
    let over = view.counts.values().any(|count| *count > Ledger::MOST_COUNTED);
    let chosen = |state: Option<State>| RunsQuery { state, part: PagePart::Newest, ..view.query.clone() }.href();
    let current = |state: Option<State>| (view.query.state == state).then_some("true");
    html! {
        nav.states aria-label="States" {
            a href=(chosen(None)) aria-current=[current(None)] {
                "All" span.count { (counted(all, i64::MAX)) @if over { "+" } }
            }
            @for &state in State::ALL {
                a href=(chosen(Some(state))) aria-current=[current(Some(state))] {
                    (badge(state))
                    span.count { (counted(view.counts.get(state.as_str()).copied().unwrap_or(0), Ledger::MOST_COUNTED)) }
                }
            }
        }
    }
}

fn search(query: &RunsQuery) -> Markup {
    let cleared = RunsQuery { text: None, part: PagePart::Newest, ..query.clone() }.href();
    html! {
        form.search role="search" action="/" method="get" {
            @if let Some(state) = query.state { input type="hidden" name="state" value=(state); }
            @if query.quiet { input type="hidden" name="live" value="off"; }
            label for="q" { "Find" }
            input #q type="search" name="q" maxlength="200" autocomplete="off" spellcheck="false"
                value=[query.text.as_deref()];
            label for="by" { "by" }
            select #by name="by" {
                @for (by, name, shown) in SEARCHES {
                    option value=(name) selected[by == query.by] { (shown) }
                }
            }
            button type="submit" { "Search" }
            @if query.text.is_some() { a href=(cleared) { "Clear" } }
        }
    }
}

fn nothing(view: &RunsView) -> Markup {
    html! {
        div.empty {
            @if view.query.text.is_some() || view.query.state.is_some() || view.query.part != PagePart::Newest {
                p { "No run fits." }
                p.note { a href="/" { "Show all runs" } }
            } @else {
                p { "There are no runs yet." }
                p.note { "Send a request: " code { "model-factory submit request.json" } }
            }
        }
    }
}

fn table(rows: &[RunRow], now: DateTime<Utc>, quiet: bool) -> Markup {
    const HEADINGS: [TableHeading<'static>; 7] = [
        ("State", ""),
        ("Run, first request", ""),
        ("Asked for", ""),
        ("Worker, progress", ""),
        ("Reason", ""),
        ("Admitted", "right"),
        ("Changed", "right changed"),
    ];
    html! {
        (html_table("list runs", &HEADINGS, &html! { @for row in rows { (line(row, now, quiet)) } }))
    }
}

fn line(row: &RunRow, now: DateTime<Utc>, quiet: bool) -> Markup {
    html! {
        tr {
            td.state { (badge(row.state)) }
            th.name scope="row" {
                a.run href=(run_href(&row.run_id, quiet)) { (row.run_id) }
                div.soft { (capped(&row.request_id)) }
            }
            td.asked {
                @if let Some(request) = row.request.get() {
                    div { (request.target_scope.scope_key()) }
                    div.soft { (request.intent_kind.as_str()) " · " (request.platform_run_id) }
                    div.soft { "by " (capped(&request.requester_principal)) }
                } @else {
                    span.soft { "its record does not read back" }
                }
            }
            td.held.nothing[row.lease_owner.is_none()] {
                @if let Some(owner) = &row.lease_owner {
                    div { (owner) }
                    @if let Some(of) = row.progress.get() { div.soft { (progress(of)) } }
                    @if row.full_run_attempts > 1 { div.soft { "attempt " (row.full_run_attempts) } }
                } @else { span.soft { "–" } }
            }
            td.why.nothing[row.reason_code.is_none()] { @if let Some(code) = &row.reason_code { code { (code) } } @else { span.soft { "–" } } }
            td.right data-label="Admitted" { (ago(now, row.created_at)) }
            td.right.changed data-label="Changed" { (ago(now, row.updated_at)) }
        }
    }
}
