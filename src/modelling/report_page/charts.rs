//! Draws the curves of a report as plots, and lists the importance of features in a table.

use super::html_table::{TableHeading, html_table};
use super::number::{number, percent, thousands};
use super::plot::{Axis, Plot, at};
use crate::domain::contract::{CalibrationBin, Confusion, EvalReport, FeatureEffect, HistogramBin, Metrics};
use maud::{Markup, html};

/// Draws the ROC, precision-recall and calibration curves and the histogram of scores as inline SVG.
pub fn curve_plots(report: &EvalReport) -> Markup {
    let metrics = &report.metrics;
    html! {
        div.plots {
            (roc(report))
            (precision_recall(report))
            (calibration(&metrics.curves.calibration, &metrics.scores))
            (histogram(&metrics.curves.score_histogram))
        }
        p.note {
            "Curves are thinned to a bounded number of points, their ends kept. Rings are the chosen thresholds."
        }
    }
}

/// Writes a plot with its caption. If `drawn` is `None`, writes a sentence with the reason `missing`.
fn plotted(name: &str, caption: &str, drawn: Option<&Markup>, missing: &str) -> Markup {
    html! {
        figure {
            h3 { (name) }
            @if let Some(drawn) = drawn {
                (drawn)
                figcaption { (caption) "." }
            } @else {
                p.note { "Not drawn: " (missing) "." }
            }
        }
    }
}

fn value_of(metrics: &Metrics, name: &str) -> String {
    metrics.get(name).and_then(|metric| metric.value).map_or_else(|| "undefined".to_owned(), number)
}

fn ring(plot: &Plot, x: f64, y: f64, title: &str) -> Markup {
    html! { circle.mark cx=(at(plot.x(x))) cy=(at(plot.y(y))) r="4.5" { title { (title) } } }
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// Writes a number of payments. Where rows have weights, it is rounded.
fn payments(count: f64) -> String {
    thousands(count.round() as u64)
}

fn recall_of(confusion: &Confusion) -> f64 {
    share(confusion.true_positives, confusion.true_positives + confusion.false_negatives)
}

fn roc(report: &EvalReport) -> Markup {
    let points = &report.metrics.curves.roc;
    let auc = value_of(&report.metrics.scores, "auc_roc");
    let plot = Plot {
        title: format!("ROC curve, area {auc}"),
        id: "roc",
        x: Axis::share("False positive rate"),
        y: Axis::share("True positive rate"),
    };
    let drawing = html! {
        polyline.guide points=(plot.line([(0.0, 0.0), (1.0, 1.0)])) {}
        polyline.curve points=(plot.line(points.iter().map(|p| (p.false_positive_rate, p.true_positive_rate)))) {}
        @for c in &report.metrics.confusion {
            @let alarms = share(c.false_positives, c.false_positives + c.true_negatives);
            (ring(&plot, alarms, recall_of(c), &format!("threshold {}", c.threshold)))
        }
    };
    let drawn = (!points.is_empty()).then(|| plot.around(&drawing));
    plotted("ROC", &format!("Area {auc}; dashed is chance"), drawn.as_ref(), "there is only one class")
}

fn precision_recall(report: &EvalReport) -> Markup {
    let points = &report.metrics.curves.precision_recall;
    let area = value_of(&report.metrics.scores, "average_precision");
    let test = report.metrics.dataset.test;
    let base = test.fraud_rate();
    let plot = Plot {
        title: format!("Precision-recall curve, average precision {area}"),
        id: "precision-recall",
        x: Axis::share("Recall"),
        y: Axis::share("Precision"),
    };
    let drawing = html! {
        polyline.guide points=(plot.line([(0.0, base), (1.0, base)])) {}
        polyline.curve points=(plot.line(points.iter().map(|p| (p.recall, p.precision)))) {}
        @for c in &report.metrics.confusion {
            @let flagged = c.true_positives + c.false_positives;
            @if flagged > 0.0 {
                (ring(&plot, recall_of(c), share(c.true_positives, flagged), &format!("threshold {}", c.threshold)))
            }
        }
    };
    let drawn = (!points.is_empty()).then(|| plot.around(&drawing));
    let caption = format!("Average precision {area}; dashed is the share of frauds, {}", percent(base));
    plotted("Precision and recall", &caption, drawn.as_ref(), "there are no frauds")
}

/// Draws the fraud rate of each bin as a curve. Columns in the background show the rows of each bin on a logarithmic
/// scale.
fn calibration(bins: &[CalibrationBin], metrics: &Metrics) -> Markup {
    let error = value_of(metrics, "expected_calibration_error");
    let plot = Plot {
        title: format!("Calibration curve, expected calibration error {error}"),
        id: "calibration",
        x: Axis::share("Mean score of the bin"),
        y: Axis::share("Share of frauds"),
    };
    let most = bins.iter().map(|bin| bin.rows).fold(1.0, f64::max);
    // The bin with the most rows takes a third of the plot's height.
    let height = |rows: f64| 0.33 * (1.0 + rows).ln() / (1.0 + most).ln();
    let drawing = html! {
        @for bin in bins {
            @let (left, right, top) = (plot.x(bin.low) + 1.0, plot.x(bin.high) - 1.0, plot.y(height(bin.rows)));
            rect.rows x=(at(left)) y=(at(top)) width=(at(right - left)) height=(at(plot.y(0.0) - top)) {
                title { (payments(bin.rows)) " rows" }
            }
            @if bins.len() <= 12 {
                text.small x=(at(f64::midpoint(left, right))) y=(at(plot.y(0.0) - 4.0)) text-anchor="middle" {
                    (payments(bin.rows))
                }
            }
        }
        polyline.guide points=(plot.line([(0.0, 0.0), (1.0, 1.0)])) {}
        polyline.curve points=(plot.line(bins.iter().map(|bin| (bin.mean_score, bin.fraud_rate)))) {}
        @for bin in bins {
            circle.point cx=(at(plot.x(bin.mean_score))) cy=(at(plot.y(bin.fraud_rate))) r="3.5" {
                title { (percent(bin.fraud_rate)) " frauds among " (payments(bin.rows)) " rows with mean score " (number(bin.mean_score)) }
            }
        }
    };
    let drawn = (!bins.is_empty()).then(|| plot.around(&drawing));
    let caption = format!("Expected calibration error {error}; columns are rows per bin, on a scale by powers of ten");
    plotted("Calibration", &caption, drawn.as_ref(), "there are no rows")
}

/// Draws the share of each class that lies in each bin. The scale is logarithmic, since frauds are rare and most scores
/// are low.
fn histogram(bins: &[HistogramBin]) -> Markup {
    let frauds: f64 = bins.iter().map(|bin| bin.positives).sum();
    let good: f64 = bins.iter().map(|bin| bin.negatives).sum();
    let least = 1.0 / frauds.max(good).max(10.0);
    let floor = least.log10().floor();
    let ticks = (floor as i32..=0).map(|power| (f64::from(power), percent(10_f64.powi(power)))).collect();
    let plot = Plot {
        title: "Histogram of scores, frauds and good payments apart".to_owned(),
        id: "histogram",
        x: Axis::share("Score"),
        y: Axis { label: "Share of the class".to_owned(), low: floor, high: 0.0, ticks },
    };
    let bar = |low: f64, high: f64, of: f64, whole: f64, class: &str, name: &str| {
        let top = plot.y(share(of, whole).log10());
        let left = plot.x(low) + 0.5;
        html! {
            @if of > 0.0 {
                rect class=(class) x=(at(left)) y=(at(top)) width=(at(plot.x(high) - left)) height=(at(plot.y(floor) - top)) {
                    title { (payments(of)) " of " (payments(whole)) " " (name) }
                }
            }
        }
    };
    let drawing = html! {
        @for bin in bins {
            @let middle = f64::midpoint(bin.low, bin.high);
            (bar(bin.low, middle, bin.negatives, good, "good", "good payments"))
            (bar(middle, bin.high, bin.positives, frauds, "fraud", "frauds"))
        }
    };
    let drawn = (frauds + good > 0.0).then(|| plot.around(&drawing));
    let caption = "Share of each class, on a scale by powers of ten: good payments left in each bin, frauds right";
    plotted("Scores", caption, drawn.as_ref(), "there are no rows")
}

/// Lists the at most 20 features with the largest mean absolute SHAP values.
pub(super) fn importance(effects: &[FeatureEffect]) -> Markup {
    const SHOWN: usize = 20;
    const HEADINGS: [TableHeading<'static>; 6] =
        [("Feature", ""), ("", ""), ("Size", "right"), ("Direction", "right"), ("Gain", "right"), ("Splits", "right")];
    let mut features: Vec<&FeatureEffect> = effects.iter().collect();
    features.sort_by(|a, b| b.mean_abs_shap.total_cmp(&a.mean_abs_shap).then_with(|| a.feature.cmp(&b.feature)));
    let most = features.first().map_or(1.0, |effect| effect.mean_abs_shap).max(f64::MIN_POSITIVE);
    let shap = |effect: &FeatureEffect| at(100.0 * (effect.mean_abs_shap / most).clamp(0.0, 1.0));
    let rows = html! {
        @for effect in features.iter().take(SHOWN) {
            tr {
                th scope="row" { (effect.feature) }
                td {
                    svg.range viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" {
                        rect.span x="0" y="1" width=(shap(effect)) height="8" {}
                    }
                }
                td.right { (number(effect.mean_abs_shap)) }
                td.right { (number(effect.mean_shap)) }
                td.right { (number(effect.total_gain)) }
                td.right { (effect.splits) }
            }
        }
    };
    html! {
        p.note {
            "Mean SHAP values on the test window, in log-odds: their size, and their direction (above 0 makes fraud likelier)"
            @if features.len() > SHOWN { "; the first " (SHOWN) " of " (features.len()) }
        }
        (html_table("", &HEADINGS, &rows))
    }
}
