//! Gradient-boosted trees by `hessboost`, saved as XGBoost JSON.
//!
//! Formula: Chen and Guestrin, "XGBoost: A Scalable Tree Boosting System", KDD 2016.

use crate::contract::{Feature, FeatureKind, Monotone};
use crate::pipeline::{BoostParameters, Table};
use crate::run::{Failure, FailureCode};
use hessboost::config::Monotone as Direction;
use hessboost::metric::EvalMetric;
use hessboost::model::ModelFormat;
use hessboost::objective::{Objective, RegLoss};
use hessboost::prelude::*;
use serde_json::{Value, json};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

/// Rows to fit on, and rows that say when to stop.
#[derive(Debug, Clone, Copy)]
pub struct FittingWindow<'a> {
    /// Rows of the table to fit on.
    pub train: &'a [usize],
    /// Rows of the table for early stopping; empty for none.
    pub validation: &'a [usize],
}

/// A fitted model.
pub struct Fitted {
    model: BoostedModel,
    features: Vec<Feature>,
    /// Trees in it; early stopping leaves only those that are used.
    pub rounds: u32,
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(FailureCode::TrainerFailed, error.to_string())
}

/// Fits. `on_round` is told the number of rounds done.
pub fn fit(
    table: &Table,
    rows: FittingWindow<'_>,
    features: &[Feature],
    parameters: &BoostParameters,
    seed: u64,
    threads: u32,
    mut on_round: impl FnMut(u32) + Send,
) -> Result<Fitted, Failure> {
    let params = training_parameters(features, parameters, seed, threads)?;
    let train = matrix(table, rows.train)?;
    let validation = match (parameters.early_stopping_rounds, rows.validation) {
        (0, _) | (_, []) => None,
        (_, rows) => Some(matrix(table, rows)?),
    };
    let mut trainer = Trainer::new(&params, &train, parameters.rounds as usize);
    if let (Some(validation), Some(patience)) =
        (&validation, NonZeroUsize::new(parameters.early_stopping_rounds as usize))
    {
        trainer = trainer.eval(validation, "validation").early_stopping_rounds(patience);
    }
    let outcome = trainer
        .on_round(|round| {
            on_round(round.iteration() as u32 + 1);
            ControlFlow::Continue(())
        })
        .train()
        .map_err(failed)?;
    // A reader of the file takes every tree in it, so the file must hold only the ones that are used.
    let model = match outcome.model.best_iteration() {
        Some(best) => outcome.model.slice(..=best, 1).map_err(failed)?,
        None => outcome.model,
    };
    let rounds = model.num_trees() as u32;
    Ok(Fitted { model, features: features.to_vec(), rounds })
}

fn training_parameters(
    features: &[Feature],
    parameters: &BoostParameters,
    seed: u64,
    threads: u32,
) -> Result<TrainingParams, Failure> {
    let constraints: Vec<Direction> = features
        .iter()
        .map(|feature| match feature.monotone {
            None => Direction::None,
            Some(Monotone::Increasing) => Direction::Increasing,
            Some(Monotone::Decreasing) => Direction::Decreasing,
        })
        .collect();
    let mut builder = TrainingParams::builder()
        .objective(Objective::BinaryLogistic(RegLoss::new(parameters.scale_pos_weight).map_err(failed)?))
        .tree_method(TreeMethod::Hist)
        .eval_metric(EvalMetric::LogLoss)
        .seed(seed)
        .nthread(threads.max(1) as usize)
        .max_depth(parameters.max_depth as usize)
        .eta(parameters.eta)
        .subsample(parameters.subsample)
        .colsample_bytree(parameters.colsample_bytree)
        .min_child_weight(parameters.min_child_weight)
        .lambda(parameters.lambda)
        .alpha(parameters.alpha)
        .gamma(parameters.gamma)
        .max_bin(parameters.max_bin as usize);
    if constraints.iter().any(|direction| *direction != Direction::None) {
        builder = builder.monotone_constraints(constraints);
    }
    builder.build().map_err(failed)
}

/// The features of these rows, row by row, with their labels.
fn matrix(table: &Table, rows: &[usize]) -> Result<DMatrix, Failure> {
    let labels: Vec<f32> = rows.iter().map(|&row| f32::from(u8::from(table.label[row]))).collect();
    let width = table.features.len();
    DMatrix::from_dense_vec(row_major(table, rows), rows.len(), width)
        .and_then(|m| m.with_labels(&labels))
        .map_err(failed)
}

fn row_major(table: &Table, rows: &[usize]) -> Vec<f32> {
    let mut values = Vec::with_capacity(rows.len() * table.features.len());
    for &row in rows {
        values.extend(table.features.iter().map(|column| column[row]));
    }
    values
}

impl Fitted {
    /// Probability of fraud for these rows, in their order.
    pub fn score(&self, table: &Table, rows: &[usize]) -> Result<Vec<f32>, Failure> {
        let scores = self.model.predict(&matrix(table, rows)?, Iterations::Best).map_err(failed)?.into_vec();
        if scores.iter().all(|score| (0.0..=1.0).contains(score)) {
            Ok(scores)
        } else {
            Err(failed("the model gave a score that is not between 0 and 1"))
        }
    }

    /// The model as XGBoost JSON, with the names and types of its inputs, so that a reader who brings
    /// columns in another order is told so.
    pub fn xgboost_json(&self) -> Result<Vec<u8>, Failure> {
        let bytes = self.model.encode(ModelFormat::XgboostJson).map_err(failed)?;
        let mut document: Value = serde_json::from_slice(&bytes).map_err(failed)?;
        let names: Vec<&str> = self.features.iter().map(|feature| feature.name.as_str()).collect();
        let types: Vec<&str> = self
            .features
            .iter()
            .map(|feature| match feature.kind {
                FeatureKind::Numeric => "float",
                FeatureKind::Categorical => "c",
            })
            .collect();
        let Some(learner) = document.get_mut("learner").and_then(Value::as_object_mut) else {
            return Err(failed("the model document has no learner"));
        };
        learner.insert("feature_names".to_owned(), json!(names));
        learner.insert("feature_types".to_owned(), json!(types));
        serde_json::to_vec(&document).map_err(failed)
    }
}
