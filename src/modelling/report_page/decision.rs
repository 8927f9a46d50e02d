//! Shows the operating points: which threshold, what it promised and what it did. A risk engineer reads this first.

use super::html_table::{TableHeading, html_table};
use super::number::{percent, thousands};
use crate::domain::contract::{DecisionReport, MetricValue, OperatingPoint, PointInWindow, PointTarget};
use maud::{Markup, html};

/// The metrics of the table, by name and by title. Money comes last.
const COLUMNS: [(&str, &str); 8] = [
    ("alerts_per_day", "Alerts a day"),
    ("alerts_worst_day", "Worst day"),
    ("precision", "Precision"),
    ("recall", "Recall"),
    ("fpr", "Good flagged"),
    ("value_detection_rate", "Money found"),
    ("missed_amount_per_day", "Missed a day"),
    ("cost_per_day", "Cost a day"),
];

/// Lists the operating points with what they did on the test window. Below each number stand its interval and what the
/// point promised on the validation window.
pub fn decision_table(report: &DecisionReport) -> Markup {
    if report.operating_points.is_empty() {
        return html! {
            p.note { "The training profile asks for no operating point. Under evaluation.operating_points it can ask for thresholds." }
        };
    }
    let is_measured = |name: &str| {
        report.operating_points.iter().any(|point| point.test.iter().any(|test| test.metrics.contains_key(name)))
    };
    let columns: Vec<(&str, &str)> = COLUMNS.into_iter().filter(|(name, _)| is_measured(name)).collect();
    let mut headings: Vec<TableHeading<'_>> = vec![("Operating point", ""), ("Score from", "right")];
    headings.extend(columns.iter().map(|(_, title)| (*title, "right")));
    let rows = html! {
        @for point in &report.operating_points {
            tr {
                th scope="row" { (point.name) br; span.soft { (target(point.target)) } }
                @match (point.threshold, &point.no_threshold_because) {
                    (Some(threshold), _) => {
                        td.right { (threshold.to_string()) br; br; span.soft { "promised" } }
                        @for (name, _) in &columns { td.right { (measured(point, name)) } }
                    },
                    (None, why) => td colspan=(columns.len() + 1) {
                        "No threshold: " (why.as_deref().unwrap_or("the report does not say why")) "."
                    },
                }
            }
        }
    };
    let test = report.windows.test;
    html! {
        (html_table("points", &headings, &rows))
        p.note {
            "A payment is flagged if its score is at least the threshold, which was chosen on the validation window. The "
            "first number is what it did on the " (thousands(test.rows)) " payments of the test window"
            @if let Some(days) = test.days { " (" (number_of_days(days)) " days)" }
            ", with its interval; the last one is what it promised on the validation window."
            @if let Some(amount) = &report.amount { " Money is in " (amount.unit) "." }
            @if let Some(cost) = &report.cost {
                " Cost: " (cost.review) " an alert, " (cost.friction) " more for a good payment, and " (percent(cost.loss_share))
                " of the amount of each missed fraud."
            }
        }
    }
}

fn target(target: PointTarget) -> String {
    match target {
        PointTarget::AlertsPerDay(most) => format!("at most {most} alerts a day"),
        PointTarget::Fpr(most) => format!("at most {most} of the good payments"),
        PointTarget::Precision(least) => format!("precision of at least {least}"),
        PointTarget::Recall(least) => format!("recall of at least {least}"),
        PointTarget::MinCost => "least cost".to_owned(),
    }
}

fn measured(point: &OperatingPoint, name: &str) -> Markup {
    fn of<'a>(window: Option<&'a PointInWindow>, name: &str) -> Option<&'a MetricValue> {
        window?.metrics.get(name)
    }
    let (test, validation) = (of(point.test.as_ref(), name), of(point.validation.as_ref(), name));
    let shown = |metric: Option<&MetricValue>| metric?.value.map(|value| plain(name, value));
    html! {
        strong { (shown(test).unwrap_or_else(|| "–".to_owned())) }
        br;
        @if let Some(interval) = test.and_then(|metric| metric.interval) {
            span.soft { (plain(name, interval.low)) " to " (plain(name, interval.high)) }
        } @else if let Some(why) = test.and_then(|metric| metric.no_interval_because.as_deref()) {
            span.soft title=(why) { "no interval" }
        } @else if let Some(why) = test.and_then(|metric| metric.undefined_because.as_deref()) {
            span.soft title=(why) { "undefined" }
        }
        br;
        span.soft { (shown(validation).unwrap_or_else(|| "–".to_owned())) }
    }
}

/// Writes shares as percentages, and counts and money with one decimal.
fn plain(name: &str, value: f64) -> String {
    if name.contains("_day") { format!("{value:.1}") } else { percent(value) }
}

fn number_of_days(days: f64) -> String {
    if days.fract() == 0.0 { format!("{days:.0}") } else { format!("{days:.1}") }
}
