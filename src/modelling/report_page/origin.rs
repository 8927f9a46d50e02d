//! Shows what the model was made from. The data windows are a table and a time line. The request and all inputs and
//! documents are tables.

use super::html_table::{TableHeading, html_table};
use super::number::{instant, percent, thousands};
use crate::domain::contract::{
    DecisionReport, EvalMetrics, EvalReport, EvidenceRef, GateReceipt, ResolvedAlgorithm, SettledSplit, TimeWindow,
    TrainPlan, WindowSummary,
};
use crate::domain::identity::Digest;
use crate::modelling::leakage::unasked_rules;
use chrono::{DateTime, Utc};
use maud::{Markup, html};

#[derive(Debug, Clone, Copy)]
pub struct ReportSources<'a> {
    pub plan: &'a TrainPlan,
    pub report: &'a EvalReport,
    /// `None` if an earlier release trained the model.
    pub decision: Option<&'a DecisionReport>,
    pub receipt: &'a GateReceipt,
    /// The receipt's place in the evidence store. `None` before the receipt is stored.
    pub receipt_at: Option<&'a EvidenceRef>,
}

struct WindowRow<'a> {
    name: &'a str,
    /// The window's start and end. `None` if the rows were drawn by chance.
    window: Option<TimeWindow>,
    summary: WindowSummary,
}

pub(super) fn data(plan: &TrainPlan, metrics: &EvalMetrics) -> Markup {
    let dataset = &metrics.dataset;
    let windows = match &metrics.split {
        SettledSplit::TimeBased(windows) => Some(windows),
        SettledSplit::StratifiedRandom(_) => None,
    };
    let mut rows =
        vec![WindowRow { name: "Train", window: windows.map(|windows| windows.train), summary: dataset.train }];
    if let Some(summary) = dataset.validation {
        rows.push(WindowRow { name: "Validation", window: windows.and_then(|windows| windows.validation), summary });
    }
    rows.push(WindowRow { name: "Test", window: windows.map(|windows| windows.test), summary: dataset.test });
    html! {
        @if windows.is_some() { (time_line(&rows)) }
        (table(&rows))
        p.note {
            (thousands(dataset.rows)) " rows in the files; " (thousands(dataset.unused_rows)) " lie outside every window"
            @if let Some(entity) = windows.and_then(|windows| windows.exclude_known_entity.as_ref()) {
                "; " (thousands(dataset.excluded_rows)) " left the test window because a fraud of their " code { (entity) }
                " was known when they happened"
            }
            ". "
            @if let Some(weight) = &plan.columns.weight {
                "Each row stands for as many payments as its " code { (weight) } " says; shares and metrics are of these. "
            }
            @match windows {
                Some(windows) => {
                    "At least " (windows.delay_days) " days lie between what is learned and the test window."
                },
                None => "Rows were drawn by chance within each class, with the plan's seed.",
            }
            " Labels are as of " (instant(plan.label_basis.label_asof_utc)) ", resolved by "
            code { (plan.label_basis.resolution_rule) } "."
        }
    }
}

fn table(rows: &[WindowRow<'_>]) -> Markup {
    const HEADINGS: [TableHeading<'static>; 6] =
        [("Window", ""), ("From", ""), ("To before", ""), ("Rows", "right"), ("Frauds", "right"), ("Share", "right")];
    let rows = html! {
        @for row in rows {
            tr {
                th scope="row" { (row.name) }
                td.tight { @if let Some(window) = row.window { (instant(window.start)) } }
                td.tight { @if let Some(window) = row.window { (instant(window.end)) } }
                td.right { (thousands(row.summary.rows)) }
                td.right { (thousands(row.summary.positives)) }
                td.right { (percent(row.summary.fraud_rate())) }
            }
        }
    };
    html_table("", &HEADINGS, &rows)
}

/// Draws the windows on a time line. Positions are percentages of the width, so that text keeps its size on any screen.
fn time_line(rows: &[WindowRow<'_>]) -> Markup {
    const ROW: usize = 40;
    let start = rows.iter().filter_map(|row| Some(row.window?.start)).min().unwrap_or_default();
    let end = rows.iter().filter_map(|row| Some(row.window?.end)).max().unwrap_or_default();
    let whole = (end - start).as_seconds_f64().max(1.0);
    let position = |at: DateTime<Utc>| 100.0 * (at - start).as_seconds_f64() / whole;
    let height = rows.len() * ROW + 24;
    html! {
        svg.time role="img" aria-labelledby="time-line" height=(height) style=(format!("height:{height}px")) {
            title id="time-line" { "Data windows from " (instant(start)) " to " (instant(end)) }
            @for (index, (row, window)) in rows.iter().filter_map(|row| Some((row, row.window?))).enumerate() {
                @let (left, right) = (position(window.start), position(window.end));
                @let days = (window.end - window.start).num_days();
                rect.gap x="0" width="100%" y=(index * ROW + 20) height="12" rx="3" {}
                rect class=(if row.name == "Test" { "fraud" } else { "span" }) x=(format!("{left:.2}%"))
                    width=(format!("{:.2}%", (right - left).max(0.5))) y=(index * ROW + 20) height="12" rx="3" {}
                text x="0" y=(index * ROW + 14) {
                    tspan.strong { (row.name) } " · " (thousands(row.summary.rows)) " rows in " (days) " days"
                }
            }
            text x="0" y=(height - 4) { (instant(start)) }
            text x="100%" y=(height - 4) text-anchor="end" { (instant(end)) }
        }
    }
}

/// Lists what would have shown leaked labels or features, and was not checked.
pub(super) fn not_checked(plan: &TrainPlan) -> Markup {
    let unasked = unasked_rules(plan);
    if unasked.is_empty() {
        return html! { p.note { "Every leakage rule was checked, or the plan does not say which were not." } };
    }
    let rows = html! {
        @for rule in &unasked { tr { th scope="row" { code { (rule.rule) } } td { (rule.because) } } }
    };
    html! {
        p.note { "Every other leakage rule was checked, and holds: a violation ends a run before its model is measured." }
        (html_table("stack", &[("Leakage rule", ""), ("Not asked, because", "")], &rows))
    }
}

/// `chosen` names the candidate that was fitted, if there was a choice.
pub(super) fn request(plan: &TrainPlan, chosen: Option<&str>) -> Markup {
    let parameters = match &plan.algorithm {
        ResolvedAlgorithm::Process(algorithm) => serde_json::to_value(&algorithm.parameters),
        ResolvedAlgorithm::BuiltIn(algorithm) => serde_json::to_value(algorithm.chosen(chosen)),
    }
    .unwrap_or_default();
    let features: Vec<&str> = plan.features.iter().map(|feature| feature.name.as_str()).collect();
    let set = &plan.feature_definition_set;
    let revisions = &plan.revisions;
    let pairs = [
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
    ];
    html_table("stack", &[], &html! { @for (name, value) in pairs { tr { th scope="row" { (name) } td { (value) } } } })
}

/// Lists every input and document with its reference and digest.
pub(super) fn lineage(sources: &ReportSources<'_>) -> Markup {
    let plan = sources.plan;
    let provenance = &sources.report.provenance;
    let mut listed: Vec<(&str, &str, Digest)> = Vec::new();
    listed.extend(plan.manifests.iter().map(|of| ("Manifest", of.reference.as_str(), of.sha256)));
    listed.extend(plan.files.iter().map(|of| ("Data", of.reference.as_str(), of.sha256)));
    listed.extend(plan.baseline.iter().map(|of| ("Bundle measured", of.reference.as_str(), of.sha256)));
    listed.extend(plan.champion.iter().map(|of| ("Champion", of.bundle.reference.as_str(), of.bundle.sha256)));
    for (name, of) in [("Training profile", &plan.training_profile), ("Governance profile", &plan.governance_profile)] {
        listed.push((name, &of.reference, of.sha256));
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
        listed.extend(of.map(|of| (name, of.reference.as_str(), of.sha256)));
    }
    let rows = html! {
        @for (name, reference, digest) in listed {
            tr {
                th scope="row" { (name) }
                td { code { (reference) } br; code.soft { (digest) } }
            }
        }
    };
    html_table("stack", &[("What", ""), ("Where, and SHA-256 of its bytes", "")], &rows)
}
