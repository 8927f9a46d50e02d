//! Lists features whose values deserve a look.

use super::html_table::{TableHeading, html_table};
use super::number::thousands;
use crate::domain::contract::EvalReport;
use maud::{Markup, html};

pub fn findings_table(report: &EvalReport) -> Markup {
    const HEADINGS: [TableHeading<'static>; 3] = [("Feature", ""), ("What was found", ""), ("Rows", "right")];
    let findings = &report.metrics.feature_findings;
    if findings.is_empty() {
        return html! { p.note { "Nothing was found: each has values in each window, and they differ." } };
    }
    let rows = html! {
        @for finding in findings {
            tr {
                th scope="row" { (finding.feature) }
                td { (finding.finding.meaning()) }
                td.right { (thousands(finding.rows)) }
            }
        }
    };
    html_table("", &HEADINGS, &rows)
}
