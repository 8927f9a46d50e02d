//! Writes the verdict as a sentence, and the conditions of the gate as tables.

use super::html_table::html_table;
use super::number::{bound, bounds, number, percent, thousands};
use crate::domain::contract::{
    ChampionVerdict, Decision, Direction, GateReceipt, Interval, SliceOutcome, ThresholdBasis,
};
use maud::{Markup, html};

/// Writes the decision and the names of the conditions that do not hold, as one sentence.
pub fn verdict_line(receipt: &GateReceipt) -> Markup {
    let checks = receipt.conditions();
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

/// Lists every condition of the gate. Thresholds that do not hold come first.
pub fn gate_table(receipt: &GateReceipt) -> Markup {
    let mut verdicts: Vec<_> = receipt.thresholds.iter().collect();
    verdicts.sort_by_key(|verdict| verdict.holds);
    let positives = &receipt.min_positives;
    let rows = html! {
        @for verdict in verdicts {
            tr {
                th scope="row" { (verdict.metric) }
                td { (required(verdict.direction, verdict.bound, verdict.on)) }
                td { (found(verdict.compared.and(verdict.value), &verdict.reason, verdict.interval.as_ref())) }
                td { (holds(verdict.holds)) }
            }
        }
        tr {
            th scope="row" { "frauds in the test window" }
            @if positives.required == 0 {
                td { "not asked: the governance profile sets no min_positives" }
                td { (thousands(positives.found)) }
                td { "–" }
            } @else {
                td { "at least " (thousands(positives.required)) }
                td { (thousands(positives.found)) }
                td { (holds(positives.holds)) }
            }
        }
    };
    html! {
        (html_table("stack", &["Condition", "Required", "Found", "Verdict"].map(|title| (title, "")), &rows))
        @if let Some(champion) = &receipt.champion { (differences(champion)) }
        @if !(receipt.slices.is_empty() && receipt.ratio.is_empty()) { (slices(receipt)) }
        p.note {
            "Policy " (receipt.policy_id) ", revision " (receipt.policy_revision) ". Compared with a bound is the "
            "measured value; where it says “with confidence”, the end of the interval where the metric is worst."
        }
    }
}

/// Lists the conditions on differences to the champion. Conditions that do not hold come first.
fn differences(champion: &ChampionVerdict) -> Markup {
    const TITLES: [&str; 6] =
        ["Condition", "Champion", "This model", "Difference required", "Difference found", "Verdict"];
    let mut verdicts: Vec<_> = champion.differences.iter().collect();
    verdicts.sort_by_key(|verdict| verdict.holds);
    let shown =
        |value: Option<f64>| html! { @if let Some(value) = value { (number(value)) } @else { span.soft { "–" } } };
    let rows = html! {
        @for verdict in verdicts {
            tr {
                th scope="row" { (verdict.metric) }
                td { (shown(verdict.champion)) }
                td { (shown(verdict.candidate)) }
                td { (required(verdict.direction, verdict.bound, verdict.on)) }
                td { (found(verdict.compared.and(verdict.difference), &verdict.reason, verdict.interval.as_ref())) }
                td { (holds(verdict.holds)) }
            }
        }
    };
    html! {
        h3 { "Against the champion" }
        (html_table("stack", &TITLES.map(|title| (title, "")), &rows))
        p.note {
            "The champion is " code { (champion.bundle.reference) } ", scored on the same payments. Intervals of "
            "differences draw the same payments for both models."
        }
    }
}

/// Lists the conditions on slices and on ratios between slices. Conditions that do not hold come first.
fn slices(receipt: &GateReceipt) -> Markup {
    const TITLES: [&str; 4] = ["Condition", "Required", "Found", "Verdict"];
    let mut of_slices: Vec<_> = receipt.slices.iter().collect();
    of_slices.sort_by_key(|verdict| verdict.holds);
    let mut ratios: Vec<_> = receipt.ratio.iter().collect();
    ratios.sort_by_key(|verdict| verdict.holds);
    let rows = html! {
        @for verdict in of_slices {
            tr {
                th scope="row" { (verdict.metric) " by " (verdict.column) }
                td { (required(verdict.direction, verdict.bound, ThresholdBasis::Point)) " in every slice" }
                td { (verdict.reason) }
                td { (outcome(verdict.outcome, verdict.holds)) }
            }
        }
        @for verdict in ratios {
            tr {
                th scope="row" { "ratio of " (verdict.metric) " by " (verdict.column) }
                td { (required(Direction::Max, verdict.bound, ThresholdBasis::Point)) }
                td { (verdict.reason) }
                td { (outcome(verdict.outcome, verdict.holds)) }
            }
        }
    };
    html! {
        h3 { "In every slice" }
        (html_table("stack", &TITLES.map(|title| (title, "")), &rows))
        p.note {
            "A ratio divides the greatest value in any slice by the least. Slices with too few rows or frauds are unknown; "
            "the policy says whether the condition then holds."
        }
    }
}

fn outcome(outcome: SliceOutcome, yes: bool) -> Markup {
    html! { @if outcome == SliceOutcome::Unknown { "unknown, " } (holds(yes)) }
}

fn required(direction: Direction, limit: f64, on: ThresholdBasis) -> Markup {
    html! {
        @match direction { Direction::Min => "at least ", Direction::Max => "at most " }
        (bound(limit))
        @if on == ThresholdBasis::ConfidenceBound { ", with confidence" }
    }
}

/// Writes the value that was compared with the bound, or `reason` if there was no value.
fn found(value: Option<f64>, reason: &str, interval: Option<&Interval>) -> Markup {
    html! {
        @match value { Some(value) => (number(value)), None => (reason) }
        @if let Some(interval) = interval {
            " " span.soft { "(" (percent(interval.confidence)) " interval " (bounds(interval)) ")" }
        }
    }
}

fn holds(yes: bool) -> Markup {
    html! { @if yes { span.holds { "✓ holds" } } @else { span.broken { "✗ does not hold" } } }
}
