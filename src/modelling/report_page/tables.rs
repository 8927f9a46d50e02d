//! What a report says in numbers.

use super::ReportSources;
use super::number::{bound, count, number, percent};
use crate::domain::contract::{
    ChampionVerdict, Direction, EvalMetrics, GateReceipt, Interval, MetricValue, Metrics, ResolvedAlgorithm, SlicedBy,
    ThresholdBasis, TrainPlan,
};
use crate::domain::identity::Digest;
use maud::{Markup, html};

fn holds(yes: bool) -> Markup {
    html! { @if yes { span.holds { "✓ holds" } } @else { span.broken { "✗ does not hold" } } }
}

fn bounds(interval: &Interval) -> String {
    format!("{} to {}", number(interval.low), number(interval.high))
}

fn value(metric: Option<&MetricValue>) -> Markup {
    html! {
        @match metric {
            Some(MetricValue { value: Some(value), .. }) => (number(*value)),
            Some(metric) => span.soft title=(metric.undefined_because.as_deref().unwrap_or_default()) { "–" },
            None => span.soft { "not measured" },
        }
    }
}

/// Every condition, the broken ones first.
pub(super) fn gate(receipt: &GateReceipt) -> Markup {
    let mut verdicts: Vec<_> = receipt.thresholds.iter().collect();
    verdicts.sort_by_key(|verdict| verdict.holds);
    let positives = &receipt.min_positives;
    html! {
        div.scroll {
            table.stack {
                thead {
                    tr {
                        th scope="col" { "Condition" }
                        th scope="col" { "Required" }
                        th scope="col" { "Found" }
                        th scope="col" { "Verdict" }
                    }
                }
                tbody {
                    @for verdict in verdicts {
                        tr {
                            th scope="row" { (verdict.metric) }
                            td {
                                @match verdict.direction { Direction::Min => "at least ", Direction::Max => "at most " }
                                (bound(verdict.bound))
                                @if verdict.on == ThresholdBasis::ConfidenceBound { ", with confidence" }
                            }
                            td {
                                @match (verdict.compared, verdict.value) {
                                    (Some(_), Some(found)) => (number(found)),
                                    _ => (verdict.reason),
                                }
                                @if let Some(interval) = &verdict.interval {
                                    " " span.soft { "(" (percent(interval.confidence)) " interval " (bounds(interval)) ")" }
                                }
                            }
                            td { (holds(verdict.holds)) }
                        }
                    }
                    tr {
                        th scope="row" { "frauds in the test window" }
                        td { "at least " (count(positives.required)) }
                        td { (count(positives.found)) }
                        td { (holds(positives.holds)) }
                    }
                }
            }
        }
        @if let Some(champion) = &receipt.champion { (compared(champion)) }
        p.note {
            "Policy " (receipt.policy_id) ", revision " (receipt.policy_revision) ". Compared with a bound is the "
            "measured value; where it says “with confidence”, the end of the interval where the metric is worst."
        }
    }
}

/// The differences to the champion, the broken conditions first.
fn compared(champion: &ChampionVerdict) -> Markup {
    let mut verdicts: Vec<_> = champion.differences.iter().collect();
    verdicts.sort_by_key(|verdict| verdict.holds);
    let shown =
        |value: Option<f64>| html! { @if let Some(value) = value { (number(value)) } @else { span.soft { "–" } } };
    html! {
        h3 { "Against the champion" }
        div.scroll {
            table.stack {
                thead {
                    tr {
                        th scope="col" { "Condition" }
                        th scope="col" { "Champion" }
                        th scope="col" { "This model" }
                        th scope="col" { "Difference required" }
                        th scope="col" { "Difference found" }
                        th scope="col" { "Verdict" }
                    }
                }
                tbody {
                    @for verdict in verdicts {
                        tr {
                            th scope="row" { (verdict.metric) }
                            td { (shown(verdict.champion)) }
                            td { (shown(verdict.candidate)) }
                            td {
                                @match verdict.direction { Direction::Min => "at least ", Direction::Max => "at most " }
                                (bound(verdict.bound))
                                @if verdict.on == ThresholdBasis::ConfidenceBound { ", with confidence" }
                            }
                            td {
                                @match (verdict.compared, verdict.difference) {
                                    (Some(_), Some(found)) => (number(found)),
                                    _ => (verdict.reason),
                                }
                                @if let Some(interval) = &verdict.interval {
                                    " " span.soft { "(" (percent(interval.confidence)) " interval " (bounds(interval)) ")" }
                                }
                            }
                            td { (holds(verdict.holds)) }
                        }
                    }
                }
            }
        }
        p.note {
            "The champion is " code { (champion.bundle.reference) } ", scored on the same payments. Intervals of "
            "differences draw the same payments for both models."
        }
    }
}

/// Every metric with its interval drawn between 0 and 1.
pub(super) fn metrics(metrics: &Metrics, plan: &TrainPlan) -> Markup {
    let confidence = metrics.values().find_map(|metric| metric.interval);
    let cluster = plan.evaluation.bootstrap.as_ref().and_then(|spec| spec.cluster.as_ref());
    html! {
        div.scroll {
            table.metrics {
                thead {
                    tr {
                        th scope="col" { "Metric" }
                        th.right scope="col" { "Value" }
                        @if let Some(interval) = confidence {
                            th.right scope="col" { (percent(interval.confidence)) " interval" }
                            th.wide scope="col" { "0 to 1" }
                        }
                    }
                }
                tbody {
                    @for (name, metric) in metrics {
                        tr {
                            th scope="row" {
                                (name)
                                @if let Some(why) = &metric.undefined_because { br; span.soft { "undefined: " (why) } }
                            }
                            td.right { (value(Some(metric))) }
                            @if confidence.is_some() {
                                td.right.soft { @if let Some(interval) = &metric.interval { (bounds(interval)) } }
                                td.wide { (range(metric)) }
                            }
                        }
                    }
                }
            }
        }
        @if let Some(interval) = confidence {
            p.note {
                "Intervals are percentiles of " (count(u64::from(interval.replicates)))
                " test windows drawn anew from this one, "
                @if let Some(cluster) = cluster { "all payments of a " code { (cluster) } " together" }
                @else { "payment by payment" }
                "; they say how much the value hangs on these very payments."
            }
        }
    }
}

/// Interval and value on a line from 0 to 1, for metrics that lie there.
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

/// Counts and shares per threshold.
pub(super) fn confusion(metrics: &EvalMetrics) -> Markup {
    html! {
        @if metrics.confusion.is_empty() { p.note { "The profile names no thresholds." } }
        @else {
            div.scroll {
                table {
                    thead {
                        tr {
                            th scope="col" { "Score from" }
                            th.right scope="col" { "Frauds found" }
                            th.right scope="col" { "missed" }
                            th.right scope="col" { "False alarms" }
                            th.right scope="col" { "Good, let through" }
                            @for name in ["Precision", "Recall", "F1"] { th.right scope="col" { (name) } }
                        }
                    }
                    tbody {
                        @for c in &metrics.confusion {
                            tr {
                                th scope="row" { (bound(c.threshold)) }
                                @for n in [c.true_positives, c.false_negatives, c.false_positives, c.true_negatives] {
                                    td.right { (count(n)) }
                                }
                                @for name in ["precision", "recall", "f1"] {
                                    td.right { (value(metrics.scores.get(&format!("{name}_at_threshold_{}", c.threshold)))) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Metrics that compare slices; the report holds the others.
const OF_SLICES: [(&str, &str); 5] = [
    ("auc_roc", "ROC area"),
    ("average_precision", "Average precision"),
    ("brier_score", "Brier score"),
    ("expected_calibration_error", "Calibration error"),
    ("ks_statistic", "KS"),
];

pub(super) fn slices(columns: &[SlicedBy]) -> Markup {
    html! {
        @for column in columns {
            h3 { "By " code { (column.column) } }
            div.scroll {
                table {
                    thead {
                        tr {
                            th scope="col" { "Value" }
                            @for name in ["Rows", "Frauds", "Share"] { th.right scope="col" { (name) } }
                            @for (_, title) in OF_SLICES { th.right scope="col" { (title) } }
                        }
                    }
                    tbody {
                        @for slice in &column.slices {
                            tr {
                                th.tight scope="row" { (slice.slice) }
                                td.right { (count(slice.rows)) }
                                td.right { (count(slice.positives)) }
                                td.right { (percent(slice.positives as f64 / slice.rows.max(1) as f64)) }
                                @for (name, _) in OF_SLICES { td.right { (value(slice.scores.get(name))) } }
                            }
                        }
                    }
                }
            }
        }
        p.note { "A dash is undefined: the slice holds no rows or only one class." }
    }
}

fn pairs(rows: &[(&str, Markup)]) -> Markup {
    html! {
        div.scroll {
            table.stack {
                tbody { @for (name, value) in rows { tr { th scope="row" { (name) } td { (value) } } } }
            }
        }
    }
}

pub(super) fn asked(plan: &TrainPlan) -> Markup {
    let parameters = match &plan.algorithm {
        ResolvedAlgorithm::Process(algorithm) => serde_json::to_value(&algorithm.parameters),
        ResolvedAlgorithm::BuiltIn(algorithm) => serde_json::to_value(&algorithm.parameters),
    }
    .unwrap_or_default();
    let features: Vec<&str> = plan.features.iter().map(|feature| feature.name.as_str()).collect();
    let set = &plan.feature_definition_set;
    let revisions = &plan.revisions;
    pairs(&[
        ("Intent", html! { code { (plan.intent_kind.as_str()) } }),
        ("Platform run", html! { code { (plan.platform_run_id) } }),
        (
            "Training profile",
            html! { (plan.training_profile.policy_id) ", revision " (plan.training_profile.revision) },
        ),
        ("Feature set", html! { (set.feature_set_id) " " (set.feature_set_version) }),
        ("Features", html! { (features.len()) ": " (features.join(", ")) }),
        ("Algorithm", html! { (plan.algorithm.id()) }),
        (
            "Parameters",
            html! {
                @for (index, (name, value)) in parameters.as_object().into_iter().flatten().enumerate() {
                    @if index > 0 { ", " } (name) " " (value)
                }
            },
        ),
        ("Seed", html! { code { (plan.seed) } }),
        (
            "Revisions",
            html! {
                "policy " code { (revisions.policy_revision) } ", configuration " code { (revisions.config_revision) }
                ", code " code { (revisions.mf_code_release_id) }
            },
        ),
    ])
}

/// Everything that the model and its judgement rest on, with digests.
pub(super) fn lineage(sources: &ReportSources<'_>) -> Markup {
    let plan = sources.plan;
    let provenance = &sources.report.provenance;
    let mut rows: Vec<(&str, &str, Digest)> = Vec::new();
    rows.extend(plan.manifests.iter().map(|of| ("Manifest", of.reference.as_str(), of.sha256)));
    rows.extend(plan.files.iter().map(|of| ("Data", of.reference.as_str(), of.sha256)));
    rows.extend(plan.baseline.iter().map(|of| ("Bundle measured", of.reference.as_str(), of.sha256)));
    rows.extend(plan.champion.iter().map(|of| ("Champion", of.bundle.reference.as_str(), of.bundle.sha256)));
    for (name, of) in [("Training profile", &plan.training_profile), ("Governance profile", &plan.governance_profile)] {
        rows.push((name, &of.reference, of.sha256));
    }
    let documents = [
        ("Plan", Some(&provenance.resolved_train_plan)),
        ("Leakage report", Some(&provenance.leakage_report)),
        ("Model", Some(&provenance.model)),
        ("Scores", Some(&provenance.scores)),
        ("Evaluation report", sources.receipt.looked_at.get("eval_report")),
        ("Gate receipt", sources.receipt_at),
    ];
    for (name, of) in documents {
        rows.extend(of.map(|of| (name, of.reference.as_str(), of.sha256)));
    }
    html! {
        div.scroll {
            table.stack {
                thead { tr { th scope="col" { "What" } th scope="col" { "Where, and SHA-256 of its bytes" } } }
                tbody {
                    @for (name, reference, digest) in rows {
                        tr {
                            th scope="row" { (name) }
                            td { code { (reference) } br; code.soft { (digest) } }
                        }
                    }
                }
            }
        }
    }
}
