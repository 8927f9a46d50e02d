//! Writes the metrics as tables: on the test window, at chosen thresholds, and by slice.

use super::html_table::{TableHeading, html_table};
use super::number::{bound, bounds, number, percent, thousands};
use crate::domain::contract::{EvalMetrics, EvalReport, MetricValue, SlicedBy, TrainPlan};
use maud::{Markup, html};

fn value(metric: Option<&MetricValue>) -> Markup {
    html! {
        @match metric {
            Some(MetricValue { value: Some(value), .. }) => (number(*value)),
            Some(metric) => span.soft title=(metric.undefined_because.as_deref().unwrap_or_default()) { "–" },
            None => span.soft { "not measured" },
        }
    }
}

/// Lists every metric. If there are intervals, also draws each interval on a line from 0 to 1.
pub fn metrics_table(report: &EvalReport, plan: &TrainPlan) -> Markup {
    let metrics = &report.metrics.scores;
    let first = metrics.values().find_map(|metric| metric.interval);
    let cluster = plan.evaluation.intervals.entity();
    let interval_title = first.map(|interval| format!("{} interval", percent(interval.confidence)));
    let mut headings: Vec<TableHeading<'_>> = vec![("Metric", ""), ("Value", "right")];
    if let Some(title) = &interval_title {
        headings.extend([(title.as_str(), "right"), ("0 to 1", "wide")]);
    }
    let rows = html! {
        @for (name, metric) in metrics {
            tr {
                th scope="row" {
                    (name)
                    @if let Some(why) = &metric.undefined_because { br; span.soft { "undefined: " (why) } }
                    @if let Some(why) = &metric.no_interval_because { br; span.soft { "no interval: " (why) } }
                }
                td.right { (value(Some(metric))) }
                @if first.is_some() {
                    td.right.soft { @if let Some(interval) = &metric.interval { (bounds(interval)) } }
                    td.wide { (range(metric)) }
                }
            }
        }
    };
    html! {
        (html_table("metrics", &headings, &rows))
        @if let Some(interval) = first {
            p.note {
                "An interval holds the model's true value in about " (percent(interval.confidence)) " of windows. "
                @if let Some(cluster) = cluster { "All payments of a " code { (cluster) } " count as one piece of evidence." }
                @else { "Every payment counts as evidence of its own." }
            }
        }
    }
}

/// Draws interval and value on a line from 0 to 1. Draws nothing if the value is undefined or outside of 0 to 1.
fn range(metric: &MetricValue) -> Markup {
    let shown = metric.value.filter(|value| (0.0..=1.0).contains(value));
    html! {
        @if let Some(value) = shown {
            svg.range viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true" {
                rect.gap x="0" y="5" width="100" height="2" {}
                @if let Some(interval) = &metric.interval {
                    @let (low, high) = (interval.low.clamp(0.0, 1.0) * 100.0, interval.high.clamp(0.0, 1.0) * 100.0);
                    rect.rows x=(format!("{low:.1}")) y="3" width=(format!("{:.1}", high - low)) height="6" {}
                }
                rect.span x=(format!("{:.1}", (value * 100.0 - 0.75).max(0.0))) y="1" width="1.5" height="10" {}
            }
        }
    }
}

pub(super) fn confusion(metrics: &EvalMetrics) -> Markup {
    const HEADINGS: [TableHeading<'static>; 8] = [
        ("Score from", ""),
        ("Frauds found", "right"),
        ("missed", "right"),
        ("False alarms", "right"),
        ("Good, let through", "right"),
        ("Precision", "right"),
        ("Recall", "right"),
        ("F1", "right"),
    ];
    if metrics.confusion.is_empty() {
        return html! { p.note { "The profile names no thresholds." } };
    }
    let rows = html! {
        @for c in &metrics.confusion {
            tr {
                th scope="row" { (bound(c.threshold)) }
                @for n in [c.true_positives, c.false_negatives, c.false_positives, c.true_negatives] {
                    td.right { (thousands(n.round() as u64)) }
                }
                @for name in ["precision", "recall", "f1"] {
                    td.right { (value(metrics.scores.get(&format!("{name}_at_threshold_{}", c.threshold)))) }
                }
            }
        }
    };
    html_table("", &HEADINGS, &rows)
}

/// The metrics of each slice that the page shows. The evaluation report holds all of them.
const OF_SLICES: [(&str, &str); 5] = [
    ("auc_roc", "ROC area"),
    ("average_precision", "Average precision"),
    ("brier_score", "Brier score"),
    ("expected_calibration_error", "Calibration error"),
    ("ks_statistic", "KS"),
];

pub(super) fn slices(columns: &[SlicedBy]) -> Markup {
    let mut headings: Vec<TableHeading<'_>> =
        vec![("Value", ""), ("Rows", "right"), ("Frauds", "right"), ("Share", "right")];
    headings.extend(OF_SLICES.map(|(_, title)| (title, "right")));
    let rows = |column: &SlicedBy| {
        html! {
            @for slice in &column.slices {
                tr {
                    th.tight scope="row" { (slice.slice) }
                    td.right { (thousands(slice.rows)) }
                    td.right { (thousands(slice.positives)) }
                    td.right { (percent(slice.fraud_rate())) }
                    @for (name, _) in OF_SLICES { td.right { (value(slice.scores.get(name))) } }
                }
            }
        }
    };
    html! {
        @for column in columns {
            h3 { "By " code { (column.column) } }
            (html_table("", &headings, &rows(column)))
        }
        p.note { "A dash is undefined: the slice holds no rows or only one class." }
    }
}
