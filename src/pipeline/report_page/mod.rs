//! `report.html`: one file for people who decide about a model.
//!
//! Guarantees: the same documents give the same bytes; no script, nothing loaded from elsewhere, every
//! value escaped. Never: computes a metric or a verdict; it shows what the documents say.

mod charts;
mod figure;
mod number;
mod tables;
mod windows;

use super::evaluate::EvalReport;
use super::gate::{Decision, GateReceipt};
use super::plan::TrainPlan;
use crate::contract::EvidenceRef;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use number::{count, instant, percent};

/// What the page is made from.
#[derive(Debug, Clone, Copy)]
pub struct ReportSources<'a> {
    /// The resolved train plan.
    pub plan: &'a TrainPlan,
    /// The evaluation report.
    pub report: &'a EvalReport,
    /// The gate's receipt.
    pub receipt: &'a GateReceipt,
    /// Where the receipt stands, where it does already.
    pub receipt_at: Option<&'a EvidenceRef>,
    /// How much each feature matters, where it was measured.
    pub importance: Option<&'a Importance>,
}

/// How much each feature matters.
#[derive(Debug, Clone, PartialEq)]
pub struct Importance {
    /// How it was measured and in which unit, for people.
    pub method: String,
    /// Feature and value, in any order.
    pub features: Vec<(String, f64)>,
}

/// Nothing may be loaded and nothing may run, even if a value should slip through.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";
const STYLE: &str = include_str!("style.css");

/// The page as HTML.
pub fn report_page(sources: &ReportSources<'_>) -> String {
    let run_id = &sources.report.run_id;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Evaluation of " (run_id) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (heading(sources))
                main {
                    (section("Gate", &tables::gate(sources.receipt, &sources.report.metrics.scores)))
                    (section("Metrics", &tables::metrics(&sources.report.metrics.scores)))
                    (section("Curves", &charts::curves(sources.report)))
                    (section("At chosen thresholds", &tables::confusion(&sources.report.metrics)))
                    @if let Some(importance) = sources.importance {
                        (section("Importance", &charts::importance(importance)))
                    }
                    @if !sources.report.metrics.slices.is_empty() {
                        (section("Slices", &tables::slices(&sources.report.metrics.slices)))
                    }
                    (section("Data", &windows::data(sources.plan, &sources.report.metrics.dataset)))
                    (section("What was asked", &tables::asked(sources.plan)))
                    (section("Lineage", &tables::lineage(sources)))
                }
                footer {
                    "Made from the plan, the evaluation report and the gate receipt of " (run_id)
                    "; they decide, this page only shows them."
                }
            }
        }
    };
    page.into_string()
}

fn section(title: &str, content: &Markup) -> Markup {
    html! { section { h2 { (title) } (content) } }
}

fn heading(sources: &ReportSources<'_>) -> Markup {
    let (plan, receipt) = (sources.plan, sources.receipt);
    let test = sources.report.metrics.dataset.test;
    let scope = &plan.target_scope;
    let rate = percent(test.positives as f64 / (test.rows.max(1)) as f64);
    html! {
        header {
            p.eyebrow { "Model evaluation · " (scope.environment) " / " (scope.mode) " / " (scope.bundle_slot) }
            h1 { (sources.report.run_id) }
            (verdict(receipt))
            p.lead {
                "Measured on " strong { (count(test.rows)) } " payments with " strong { (count(test.positives)) }
                " frauds (" (rate) "), from " (instant(plan.split.test.start)) " to before "
                (instant(plan.split.test.end)) "."
            }
        }
    }
}

fn verdict(receipt: &GateReceipt) -> Markup {
    let checks = receipt.thresholds.len() + 1;
    html! {
        @match receipt.decision {
            Decision::Pass => p.verdict.pass {
                strong { "PASS" } " All " (checks) " conditions of " (receipt.policy_id) " hold."
            },
            Decision::Fail => p.verdict.fail {
                strong { "FAIL" } " " (receipt.failed.len()) " of " (checks) " conditions of " (receipt.policy_id)
                @if receipt.failed.len() == 1 { " does not hold: " } @else { " do not hold: " }
                (receipt.failed.join(", ")) "."
            },
        }
    }
}
