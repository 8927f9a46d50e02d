//! Chooses among the plan's candidates: fits each to the train window and measures it on the validation window. The test
//! window stays closed.

use super::evaluate::{MeasuredRows, wide};
use super::job::{broken, report};
use crate::domain::contract::{BoostParameters, Choice, PlannedCandidate, PlannedChoice, TrainPlan, TriedCandidate};
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::metrics::{self, MetricKind};
use crate::modelling::{Assignment, Table};
use crate::training::booster::{FittingWindow, LoadedModel, Matrix, fit};

/// Part of the step's progress by which all candidates are measured. The fit of the chosen one follows.
const PROGRESS: std::ops::Range<f64> = 0.25..0.75;

/// What candidates are fitted to and measured on.
pub(super) struct Choosing<'a> {
    pub(super) table: &'a mut Table,
    pub(super) assignment: &'a Assignment,
    pub(super) plan: &'a TrainPlan,
    pub(super) threads: u32,
}

impl Choosing<'_> {
    /// Measures every candidate, and returns the one with the best value. Of equal ones, it is the first.
    pub(super) fn choose(&mut self, planned: &PlannedChoice) -> Result<Choice, Failure> {
        let count = planned.candidates.len() as f64;
        let has_cards = MeasuredRows::have_cards(self.table);
        let Some(metric) = MetricKind::named(&planned.metric, &self.plan.evaluation, has_cards) else {
            return Err(broken(format!("the plan chooses by a metric that is not known: {}", planned.metric)));
        };
        let mut tried = Vec::new();
        let mut best: Option<(f64, &str)> = None;
        for (number, candidate) in planned.candidates.iter().enumerate() {
            let done = PROGRESS.start + (PROGRESS.end - PROGRESS.start) * number as f64 / count;
            let message = format!("candidate {} of {}: {}", number + 1, planned.candidates.len(), candidate.name);
            report("choose", done, &message);
            let measured = self.measure(candidate, metric)?;
            // Losses are negated, so that the greatest is the best.
            if let Some(value) = measured.value {
                let worth = if metric.is_loss() { -value } else { value };
                if best.is_none_or(|(before, _)| worth > before) {
                    best = Some((worth, &candidate.name));
                }
            }
            tried.push(measured);
        }
        let Some((_, chosen)) = best else {
            let because = tried.iter().find_map(|of| of.undefined_because.as_deref()).unwrap_or_default();
            let message = format!("no candidate has a {} on the validation window: {because}", planned.metric);
            return Err(Failure::new(FailureCode::LabelsInsufficient, message));
        };
        Ok(Choice { metric: planned.metric.clone(), chosen: chosen.to_owned(), tried })
    }

    fn measure(&mut self, candidate: &PlannedCandidate, metric: MetricKind) -> Result<TriedCandidate, Failure> {
        let Self { assignment, plan, threads, .. } = self;
        let (train, validation) = (&assignment.train, &assignment.validation);
        // A refit would learn from the rows that the candidate is measured on.
        let parameters = BoostParameters { refit: false, ..candidate.parameters.clone() };
        let matrix = Matrix::to_fit(self.table, [train, &[]], &plan.features)?;
        let window = FittingWindow { train, validation };
        let fitted = fit(&matrix, window, &parameters, plan.seed, *threads, |_| {})?;
        matrix.release(self.table);
        // The file is what scores, and its categories have no part in that.
        let model = LoadedModel::read(&fitted.xgboost_json(&plan.features, &[])?)?;
        let scores = model.score(&Matrix::new(self.table, &plan.features)?, validation)?;
        let rows = MeasuredRows::new(self.table, validation);
        let value = metrics::one(metric, &rows.scored(&wide(&scores)));
        Ok(TriedCandidate {
            name: candidate.name.clone(),
            rounds: model.rounds(),
            value: value.value,
            undefined_because: value.undefined_because,
        })
    }
}
