//! What came out of a run, from its verified documents.

use super::{Document, none};
use crate::modelling::{EvalReport, GateReceipt, TrainPlan, curve_plots, gate_table, metrics_table, verdict_line};
use maud::{Markup, html};

/// `show` of a document that is there, else why it is not.
fn shown<T>(document: &Document<T>, name: &str, show: impl Fn(&T) -> Markup) -> Markup {
    match document {
        Ok(Some(document)) => show(document),
        Ok(None) => none(&format!("There is no {name} yet.")),
        Err(why) => html! { p.missing { "The " (name) " cannot be shown: " (why) } },
    }
}

pub(super) fn gate(receipt: &Document<GateReceipt>) -> Markup {
    shown(receipt, "gate receipt", |receipt| html! { (verdict_line(receipt)) (gate_table(receipt)) })
}

pub(super) fn metrics(report: &Document<EvalReport>, plan: &Document<TrainPlan>) -> Markup {
    shown(report, "evaluation report", |report| shown(plan, "plan", |plan| metrics_table(report, plan)))
}

pub(super) fn curves(report: &Document<EvalReport>) -> Markup {
    shown(report, "evaluation report", curve_plots)
}
