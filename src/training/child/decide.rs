//! Builds the decision report from what the child reads and scores.

use super::assign::Assigned;
use super::evaluate::wide;
use crate::domain::contract::{DecisionReport, SettledSplit, TimeWindow, TrainPlan};
use crate::domain::identity::Digest;
use crate::domain::run::Failure;
use crate::modelling::{ChampionScores, DecisionBasis, DecisionRows, Table, against_champion, operating_points};
use chrono::{DateTime, Utc};

/// A model's scores.
pub(super) struct ScoredWindows<'a> {
    /// Of the rows of the test window, in their order.
    pub(super) test: &'a [f32],
    /// Of the rows that thresholds are chosen on, in their order.
    pub(super) validation: &'a [f32],
}

/// Builds the decision report of a model from its scores.
pub(super) fn decide(
    table: &Table,
    assigned: &Assigned,
    scored: &ScoredWindows<'_>,
    model: &[u8],
    plan: &TrainPlan,
) -> Result<DecisionReport, Failure> {
    let windows = match &assigned.split {
        SettledSplit::TimeBased(windows) => Some(windows),
        SettledSplit::StratifiedRandom(_) => None,
    };
    let evaluation = &plan.evaluation;
    let test = WindowRows::new(table, &assigned.assignment.test, scored.test, plan);
    let chosen_on = WindowRows::new(table, &assigned.chosen_on, scored.validation, plan);
    let validation = windows.and_then(|windows| windows.validation);
    let chosen_on = (!assigned.chosen_on.is_empty()).then(|| chosen_on.rows(validation));
    let basis = DecisionBasis {
        points: &evaluation.operating_points,
        cost: evaluation.cost.as_ref(),
        confidence: evaluation.intervals.confidence,
    };
    let test = test.rows(windows.map(|windows| windows.test));
    let (windows, operating_points) = operating_points(chosen_on.as_ref(), &test, &basis);
    let champion = match (&assigned.champion, &plan.champion) {
        (Some(champion), Some(planned)) if !operating_points.is_empty() => {
            let [of_test, of_validation] = [champion.scores()?, champion.scores_to_choose_on()?];
            let of_validation = wide(&of_validation);
            let theirs = ChampionScores {
                model_sha256: planned.bundle.model.sha256,
                test: &wide(&of_test),
                validation: unseen(validation, planned.bundle.learned_before).map(|()| of_validation.as_slice()),
            };
            Some(against_champion(&operating_points, chosen_on.as_ref(), &test, &theirs))
        }
        (_, _) => None,
    };
    Ok(DecisionReport {
        schema_version: DecisionReport::SCHEMA_VERSION.to_owned(),
        run_id: plan.run_id.clone(),
        model_sha256: Digest::of(model),
        amount: plan.columns.amount.clone(),
        cost: evaluation.cost,
        windows,
        operating_points,
        champion,
    })
}

/// Says why the champion may have learned from the validation window. Its scores there would then be better than those of
/// other payments, and a map to them would be wrong.
fn unseen(validation: Option<TimeWindow>, learned_before: Option<DateTime<Utc>>) -> Result<(), &'static str> {
    match (validation, learned_before) {
        (Some(window), Some(before)) if before <= window.start => Ok(()),
        (Some(_), Some(_)) => Err("the champion has learned from rows of the validation window's time"),
        (_, _) => Err("nothing says whether the champion has learned from rows of the validation window"),
    }
}

/// The columns of chosen rows.
struct WindowRows {
    scores: Vec<f64>,
    labels: Vec<bool>,
    amounts: Option<Vec<f64>>,
    at: Option<Vec<i64>>,
    clusters: Option<Vec<u32>>,
}

impl WindowRows {
    fn new(table: &Table, rows: &[usize], scores: &[f32], plan: &TrainPlan) -> Self {
        let cluster = plan.evaluation.intervals.entity();
        let cluster = cluster.and_then(|name| table.entities.iter().find(|column| column.name == name));
        Self {
            scores: wide(scores),
            labels: rows.iter().map(|&row| table.label[row]).collect(),
            amounts: table.amount.as_ref().map(|amounts| rows.iter().map(|&row| amounts[row]).collect()),
            at: table.event_time.as_ref().map(|at| rows.iter().map(|&row| at[row]).collect()),
            clusters: cluster.map(|column| rows.iter().map(|&row| column.ids[row]).collect()),
        }
    }

    fn rows(&self, window: Option<TimeWindow>) -> DecisionRows<'_> {
        DecisionRows {
            scores: &self.scores,
            labels: &self.labels,
            amounts: self.amounts.as_deref(),
            times: self.at.as_deref().zip(window),
            clusters: self.clusters.as_deref(),
        }
    }
}
