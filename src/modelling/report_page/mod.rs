//! Writes `report.html`, one HTML file for people who decide about a model, and the page about the check of a bundle.
//!
//! Guarantees: the same documents give the same bytes. The page has no script, loads nothing, and escapes every value.
//! Never: computes a metric or a verdict. The page only shows what the documents say.

mod charts;
mod choice;
mod decision;
mod findings;
mod gate;
mod html_table;
mod metrics;
mod number;
mod origin;
mod plot;
mod verification;

pub use charts::curve_plots;
pub use decision::decision_table;
pub use findings::findings_table;
pub use gate::{gate_table, verdict_line};
pub use html_table::{TableHeading, html_table};
pub use metrics::metrics_table;
pub use number::thousands;
pub use origin::ReportSources;
pub use verification::{PageVerdict, StatementFinding, VerificationPage, verification_page};

use crate::domain::contract::SettledSplit;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use number::{instant, percent};

/// The page's Content-Security-Policy. The browser loads and runs nothing, even if a value were not escaped.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The page's style sheet. Pages of the console that show the same tables and plots use the same style sheet.
pub const REPORT_STYLE: &str = include_str!("style.css");

pub fn report_page(sources: &ReportSources<'_>) -> String {
    let ReportSources { plan, report, receipt, .. } = *sources;
    let run_id = &report.run_id;
    let chosen = report.metrics.choice.as_ref().map(|choice| choice.chosen.as_str());
    let body = html! {
        (heading(sources))
        main {
            @if let Some(decision) = sources.decision {
                (section("Operating points", &decision_table(decision)))
            }
            (section("Gate", &gate_table(receipt)))
            (section("Metrics", &metrics_table(report, plan)))
            (section("Curves", &curve_plots(report)))
            (section("At chosen thresholds", &metrics::confusion(&report.metrics)))
            @if !report.metrics.features.is_empty() {
                (section("Importance", &charts::importance(&report.metrics.features)))
            }
            @if let Some(choice) = &report.metrics.choice {
                (section("Candidates", &choice::candidates(choice, plan)))
            }
            (section("Features to look at", &findings_table(report)))
            @if !report.metrics.slices.is_empty() {
                (section("Slices", &metrics::slices(&report.metrics.slices)))
            }
            (section("Data", &origin::data(plan, &report.metrics)))
            (section("Not checked", &origin::not_checked(plan)))
            (section("What was asked", &origin::request(plan, chosen)))
            (section("Lineage", &origin::lineage(sources)))
        }
        footer {
            "Made from the plan, the reports and the gate receipt of " (run_id)
            "; they decide, this page only shows them."
        }
    };
    whole_page(&format!("Evaluation of {run_id}"), &body)
}

/// Writes a page with its style sheet and its policy for the browser.
fn whole_page(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(REPORT_STYLE)) }
            }
            body { (body) }
        }
    };
    page.into_string()
}

fn section(title: &str, content: &Markup) -> Markup {
    html! { section { h2 { (title) } (content) } }
}

fn heading(sources: &ReportSources<'_>) -> Markup {
    let scope = &sources.plan.target_scope;
    let test = sources.report.metrics.dataset.test;
    let rate = percent(test.fraud_rate());
    html! {
        header {
            p.eyebrow { "Model evaluation · " (scope.environment) " / " (scope.mode) " / " (scope.bundle_slot) }
            h1 { (sources.report.run_id) }
            (verdict_line(sources.receipt))
            p.lead {
                @if let Some(of) = test.stands_for {
                    "Measured on " strong { (thousands(test.rows)) } " rows with " strong { (thousands(test.positives)) }
                    " frauds, which stand for " (thousands(of.payments.round() as u64)) " payments with "
                    (thousands(of.frauds.round() as u64)) " frauds (" (rate) ")"
                } @else {
                    "Measured on " strong { (thousands(test.rows)) } " payments with " strong { (thousands(test.positives)) }
                    " frauds (" (rate) ")"
                }
                @match &sources.report.metrics.split {
                    SettledSplit::TimeBased(windows) => {
                        ", from " (instant(windows.test.start)) " to before " (instant(windows.test.end)) "."
                    },
                    SettledSplit::StratifiedRandom(_) => ", drawn by chance with the plan's seed.",
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::contract::{
        Curves, Decision, DecisionReport, EvalReport, GateReceipt, SchemaName, TrainPlan, schema_text,
    };
    use serde::de::DeserializeOwned;
    use serde_json::Value;

    fn example<T: DeserializeOwned>(schema: SchemaName) -> T {
        let text: Value = serde_json::from_str(schema_text(schema)).unwrap();
        serde_json::from_value(text["examples"][0].clone()).unwrap()
    }

    struct ExampleRun {
        plan: TrainPlan,
        report: EvalReport,
        decision: DecisionReport,
        receipt: GateReceipt,
    }

    impl ExampleRun {
        fn new() -> Self {
            Self {
                plan: example(SchemaName::ResolvedTrainPlan),
                report: example(SchemaName::EvalReport),
                decision: example(SchemaName::DecisionReport),
                receipt: example(SchemaName::GateReceipt),
            }
        }

        fn page(&self) -> String {
            let Self { plan, report, decision, receipt } = self;
            report_page(&ReportSources { plan, report, decision: Some(decision), receipt, receipt_at: None })
        }
    }

    #[test]
    fn the_page_loads_nothing_runs_nothing_and_is_the_same_each_time() {
        let documents = ExampleRun::new();
        let page = documents.page();
        assert_eq!(page, documents.page());
        for outside in ["http:", "https:", "<script", "<link", "<img", " src=", "@import", "url(", "javascript:"] {
            assert!(!page.contains(outside), "{outside}");
        }
        for part in [
            "Operating points",
            "Gate",
            "Metrics",
            "Curves",
            "Importance",
            "Slices",
            "Data",
            "What was asked",
            "Lineage",
            "Candidates",
        ] {
            assert!(page.contains(&format!("<h2>{part}</h2>")), "{part}");
        }
        assert_eq!(page.matches("role=\"img\"").count(), 5, "four curves and the line of time");
        assert_eq!(page.matches("role=\"img\"").count(), page.matches("aria-labelledby=").count());
    }

    #[test]
    fn foreign_text_stays_text() {
        let mut documents = ExampleRun::new();
        let hostile = "\"><script>alert(1)</script>&<b>";
        documents.plan.target_scope.environment = hostile.to_owned();
        documents.plan.features[0].name = hostile.to_owned();
        documents.plan.manifests[0].reference = hostile.to_owned();
        documents.receipt.policy_id = hostile.to_owned();
        documents.report.metrics.slices[0].column = hostile.to_owned();
        documents.report.metrics.slices[0].slices[0].slice = hostile.to_owned();
        let metric = documents.report.metrics.scores["auc_roc"].clone();
        documents.report.metrics.scores.insert(hostile.to_owned(), metric);
        documents.report.metrics.features[0].feature = hostile.to_owned();
        documents.report.metrics.feature_findings[0].feature = hostile.to_owned();
        documents.decision.operating_points[1].no_threshold_because = Some(hostile.to_owned());
        documents.decision.amount.as_mut().unwrap().unit = hostile.to_owned();
        let page = documents.page();
        assert!(!page.contains("<script") && !page.contains("<b>"));
        assert!(page.matches("&lt;script&gt;alert(1)&lt;/script&gt;&amp;&lt;b&gt;").count() >= 11);
    }

    #[test]
    fn a_gate_that_failed_says_so_first_and_names_what_is_broken() {
        let mut documents = ExampleRun::new();
        documents.receipt.decision = Decision::Fail;
        documents.receipt.thresholds[0].holds = false;
        let name = documents.receipt.thresholds[0].threshold.clone();
        documents.receipt.failed = vec![name.clone()];
        let page = documents.page();
        let (verdict, gate) = (page.find("FAIL").unwrap(), page.find("<h2>Gate</h2>").unwrap());
        assert!(verdict < gate && page[verdict..gate].contains(&name));
        assert!(page.contains("✗ does not"));
    }

    #[test]
    fn operating_points_come_first_with_what_they_did_and_what_they_promised() {
        let documents = ExampleRun::new();
        let page = documents.page();
        let (points, gate) = (page.find("<h2>Operating points</h2>").unwrap(), page.find("<h2>Gate</h2>").unwrap());
        let table = &page[points..gate];
        for part in
            ["at most 200 alerts a day", "0.8299999833106995", "203.0", "199.7", "No threshold: at every score", "EUR"]
        {
            assert!(table.contains(part), "{part}");
        }
        assert!(!table.contains("amount_precision") && !table.contains("Good flagged"), "only what is measured");
    }

    #[test]
    fn features_that_say_nothing_are_named() {
        let mut documents = ExampleRun::new();
        let page = documents.page();
        assert!(page.contains("terminal_region</th><td>has one value in the whole train window"));
        documents.report.metrics.feature_findings.clear();
        assert!(documents.page().contains("Nothing was found"));
    }

    #[test]
    fn what_cannot_be_drawn_says_why() {
        let mut documents = ExampleRun::new();
        documents.report.metrics.curves = Curves::default();
        documents.report.metrics.confusion.clear();
        let page = documents.page();
        assert!(
            page.contains("Not drawn: there is only one class.") && page.contains("Not drawn: there are no frauds.")
        );
        assert!(!page.contains("NaN") && !page.contains("inf"));
    }
}
