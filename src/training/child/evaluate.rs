//! Evaluates a model on the test window: computes its metrics and compares them with the champion's.

use super::assign::Assigned;
use super::job::report;
use crate::domain::contract::{Choice, Evaluation};
use crate::domain::run::Failure;
use crate::modelling::metrics::{self, IntervalBasis, Measured, ScoredRows};
use crate::modelling::{Table, feature_findings, slicings};
use crate::training::protocol::ChildJob;

/// Computes the metrics that the profile asks for from the scores of the test window. If there is a champion, also
/// computes the differences from the champion's metrics. The caller adds the number of trees and the effects of
/// features.
pub(super) fn evaluate(
    table: &Table,
    assigned: &Assigned,
    scores: &[f32],
    choice: Option<Choice>,
    job: &ChildJob,
) -> Result<Evaluation, Failure> {
    let (plan, rows) = (&job.plan, &assigned.assignment.test);
    let scores = wide(scores);
    let measured_rows = MeasuredRows::new(table, rows);
    let of_test = measured_rows.scored(&scores);
    let intervals = &plan.evaluation.intervals;
    let clusters = intervals
        .entity()
        .and_then(|name| table.entities.iter().find(|column| column.name == name))
        .map(|column| of_rows(rows, &column.ids));
    let clusters = clusters.as_deref();
    let basis = IntervalBasis { confidence: intervals.confidence, clusters };
    let slicings = slicings(table, &plan.features, rows, &plan.evaluation.slices);
    let Measured { scores, confusion, curves, slices } =
        metrics::measure(&of_test, &plan.evaluation, Some(&basis), &slicings);
    let mut evaluation = Evaluation {
        scores,
        confusion,
        curves,
        slices,
        dataset: assigned.dataset.clone(),
        split: assigned.split.clone(),
        rounds: None,
        features: Vec::new(),
        feature_findings: feature_findings(table, &assigned.assignment, &plan.features),
        choice,
        champion: None,
    };
    let (Some(champion), Some(compared)) = (&assigned.champion, &plan.champion) else {
        return Ok(evaluation);
    };
    report("evaluate", 0.9, "comparing with the champion");
    let theirs = wide(&champion.scores()?);
    let basis = IntervalBasis { confidence: compared.confidence, clusters };
    evaluation.champion = Some(metrics::differences(&of_test, &theirs, &compared.metrics, &plan.evaluation, &basis));
    Ok(evaluation)
}

/// What metrics need to know of rows besides their scores.
pub(super) struct MeasuredRows {
    labels: Vec<bool>,
    days: Vec<i64>,
    cards: Option<Vec<u32>>,
    weights: Option<Vec<f32>>,
    amounts: Option<Vec<f64>>,
}

impl MeasuredRows {
    pub(super) fn new(table: &Table, rows: &[usize]) -> Self {
        const DAY: i64 = 86_400_000_000;
        let at = table.event_time.as_deref();
        let cards = table.entities.first().filter(|_| Self::have_cards(table));
        Self {
            labels: rows.iter().map(|&row| table.label[row]).collect(),
            days: rows.iter().map(|&row| at.map_or(0, |at| at[row].div_euclid(DAY))).collect(),
            cards: cards.map(|column| of_rows(rows, &column.ids)),
            weights: table.weight.as_ref().map(|weights| rows.iter().map(|&row| weights[row]).collect()),
            amounts: table.amount.as_ref().map(|amounts| rows.iter().map(|&row| amounts[row]).collect()),
        }
    }

    /// Whether metrics of cards can be measured. They count per day, so they need event times.
    pub(super) fn have_cards(table: &Table) -> bool {
        !table.entities.is_empty() && table.event_time.is_some()
    }

    /// `scores` holds a score for each row, in their order.
    pub(super) fn scored<'a>(&'a self, scores: &'a [f64]) -> ScoredRows<'a> {
        let (cards, weights) = (self.cards.as_deref(), self.weights.as_deref());
        ScoredRows { scores, labels: &self.labels, days: &self.days, cards, weights, amounts: self.amounts.as_deref() }
    }
}

fn of_rows(rows: &[usize], ids: &[u32]) -> Vec<u32> {
    rows.iter().map(|&row| ids[row]).collect()
}

/// Widens scores, which are 32-bit floats in every model's file.
pub(super) fn wide(scores: &[f32]) -> Vec<f64> {
    scores.iter().map(|&score| f64::from(score)).collect()
}
