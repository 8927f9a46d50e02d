//! Lists the candidates that were tried, and says which one was chosen.

use super::html_table::{TableHeading, html_table};
use crate::domain::contract::{Choice, ResolvedAlgorithm, TrainPlan};
use maud::{Markup, html};
use serde_json::{Map, Value};

pub(super) fn candidates(choice: &Choice, plan: &TrainPlan) -> Markup {
    const HEADINGS: [TableHeading<'static>; 4] =
        [("Candidate", ""), ("Parameters that differ", ""), ("Trees", "right"), ("On validation", "right")];
    let rows = html! {
        @for candidate in &choice.tried {
            tr {
                th scope="row" {
                    (candidate.name)
                    @if candidate.name == choice.chosen { " " strong { "chosen" } }
                }
                td { (differing(plan, &candidate.name)) }
                td.right { (candidate.rounds) }
                td.right {
                    @match (candidate.value, &candidate.undefined_because) {
                        (Some(value), _) => (format!("{value:.4}")),
                        (None, because) => (because.as_deref().unwrap_or("undefined")),
                    }
                }
            }
        }
    };
    html! {
        p.note {
            "Each was fitted to the train window and measured by " code { (choice.metric) } " on the validation window. The chosen "
            "parameters alone were measured on the test window."
        }
        (html_table("stack", &HEADINGS, &rows))
    }
}

/// Writes the parameters of a candidate that not all candidates have.
fn differing(plan: &TrainPlan, name: &str) -> String {
    let ResolvedAlgorithm::BuiltIn(algorithm) = &plan.algorithm else { return String::new() };
    let candidates = algorithm.choice.iter().flat_map(|choice| &choice.candidates);
    let of = |parameters| match serde_json::to_value(parameters) {
        Ok(Value::Object(named)) => named,
        _ => Map::new(),
    };
    let all: Vec<Map<String, Value>> = candidates.map(|candidate| of(&candidate.parameters)).collect();
    let own = of(algorithm.chosen(Some(name)));
    let differs = |(name, value): &(&String, &Value)| all.iter().any(|other| other.get(*name) != Some(*value));
    let texts = own.iter().filter(differs).map(|(name, value)| format!("{name} {value}"));
    texts.collect::<Vec<_>>().join(", ")
}
