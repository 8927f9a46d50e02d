//! The data windows on a line of time.

use super::number::{count, instant, percent};
use crate::pipeline::evaluate::{DatasetSummary, WindowSummary};
use crate::pipeline::plan::{TrainPlan, Window};
use chrono::{DateTime, Utc};
use maud::{Markup, html};

struct Row<'a> {
    name: &'a str,
    window: Window,
    summary: WindowSummary,
}

pub(super) fn data(plan: &TrainPlan, dataset: &DatasetSummary) -> Markup {
    let split = &plan.split;
    let mut rows = vec![Row { name: "Train", window: split.train, summary: dataset.train }];
    if let (Some(window), Some(summary)) = (split.validation, dataset.validation) {
        rows.push(Row { name: "Validation", window, summary });
    }
    rows.push(Row { name: "Test", window: split.test, summary: dataset.test });
    html! {
        (time_line(&rows))
        div.scroll { (table(&rows)) }
        p.note {
            (count(dataset.rows)) " rows in the files; " (count(dataset.unused_rows)) " lie outside every window"
            @if let Some(entity) = &split.exclude_known_entity {
                "; " (count(dataset.excluded_rows)) " left the test window because their " code { (entity) }
                " was known as fraud by then"
            }
            ". At least " (split.delay_days) " days lie between what is learned and the test window. Labels are as of "
            (instant(plan.label_basis.label_asof_utc)) ", resolved by " code { (plan.label_basis.resolution_rule) }
            "."
        }
    }
}

fn table(rows: &[Row<'_>]) -> Markup {
    html! {
        table {
            thead {
                tr {
                    th scope="col" { "Window" }
                    th scope="col" { "From" }
                    th scope="col" { "To before" }
                    th.right scope="col" { "Rows" }
                    th.right scope="col" { "Frauds" }
                    th.right scope="col" { "Share" }
                }
            }
            tbody {
                @for row in rows {
                    tr {
                        th scope="row" { (row.name) }
                        td.tight { (instant(row.window.start)) }
                        td.tight { (instant(row.window.end)) }
                        td.right { (count(row.summary.rows)) }
                        td.right { (count(row.summary.positives)) }
                        td.right { (percent(row.summary.positives as f64 / row.summary.rows.max(1) as f64)) }
                    }
                }
            }
        }
    }
}

/// Places are in per cent of the width, so that text keeps its size on any screen.
fn time_line(rows: &[Row<'_>]) -> Markup {
    const ROW: usize = 40;
    let start = rows.iter().map(|row| row.window.start).min().unwrap_or_default();
    let end = rows.iter().map(|row| row.window.end).max().unwrap_or_default();
    let whole = (end - start).as_seconds_f64().max(1.0);
    let place = |at: DateTime<Utc>| 100.0 * (at - start).as_seconds_f64() / whole;
    let height = rows.len() * ROW + 24;
    html! {
        svg.time role="img" aria-labelledby="time-line" height=(height) style=(format!("height:{height}px")) {
            title id="time-line" { "Data windows from " (instant(start)) " to " (instant(end)) }
            @for (index, row) in rows.iter().enumerate() {
                @let (left, right) = (place(row.window.start), place(row.window.end));
                @let days = (row.window.end - row.window.start).num_days();
                rect.gap x="0" width="100%" y=(index * ROW + 20) height="12" rx="3" {}
                rect class=(if row.name == "Test" { "fraud" } else { "span" }) x=(format!("{left:.2}%"))
                    width=(format!("{:.2}%", (right - left).max(0.5))) y=(index * ROW + 20) height="12" rx="3" {}
                text x="0" y=(index * ROW + 14) {
                    tspan.strong { (row.name) } " · " (count(row.summary.rows)) " rows in " (days) " days"
                }
            }
            text x="0" y=(height - 4) { (instant(start)) }
            text x="100%" y=(height - 4) text-anchor="end" { (instant(end)) }
        }
    }
}
