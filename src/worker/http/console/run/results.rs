//! The results of a run, from documents whose digest was checked.

use super::view::{FoundDocument, none};
use crate::domain::contract::{EvalReport, GateReceipt, TrainPlan};
use crate::modelling::{curve_plots, gate_table, metrics_table, verdict_line};
use maud::{Markup, html};

/// The document by `show`, or why there is none.
fn shown<T>(document: &FoundDocument<T>, name: &str, show: impl Fn(&T) -> Markup) -> Markup {
    match document {
        Ok(Some(document)) => show(document),
        Ok(None) => none(&format!("There is no {name} yet.")),
        Err(why) => html! { p.missing { "The " (name) " cannot be shown: " (why) } },
    }
}

pub(super) fn gate(receipt: &FoundDocument<GateReceipt>) -> Markup {
    shown(receipt, "gate receipt", |receipt| html! { (verdict_line(receipt)) (gate_table(receipt)) })
}

pub(super) fn metrics(report: &FoundDocument<EvalReport>, plan: &FoundDocument<TrainPlan>) -> Markup {
    shown(report, "evaluation report", |report| shown(plan, "plan", |plan| metrics_table(report, plan)))
}

pub(super) fn curves(report: &FoundDocument<EvalReport>) -> Markup {
    shown(report, "evaluation report", curve_plots)
}
