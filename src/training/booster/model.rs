//! Fits models.
//!
//! Formula: Chen and Guestrin, "XGBoost: A Scalable Tree Boosting System", KDD 2016.

use super::presence::Presence;
use super::xgboost_json;
use crate::domain::contract::{
    BoostEvalMetric, BoostObjective, BoostParameters, BoostTreeMethod, Feature, FeatureCategories, FeatureKind,
    Monotone,
};
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::{Features, Table};
use hessboost::config::Monotone as Direction;
use hessboost::data::FeatureType;
use hessboost::metric::EvalMetric;
use hessboost::model::ModelFormat;
use hessboost::objective::{Objective, RegLoss};
use hessboost::prelude::*;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

/// All rows of a table as the booster reads them. The matrix shares the table's feature values and holds no copy.
pub struct Matrix {
    rows: DMatrix,
    pub(super) features: Vec<Feature>,
    presence: Presence,
}

#[derive(Debug, Clone, Copy)]
pub struct FittingWindow<'a> {
    /// The row numbers to fit on.
    pub train: &'a [usize],
    /// The row numbers for early stopping. If empty, the fit does not stop early.
    pub validation: &'a [usize],
}

/// A model as the fit left it in memory. It becomes a [`LoadedModel`](super::LoadedModel), which can score, by way of
/// its file.
pub struct Fitted {
    model: BoostedModel,
}

/// Turns an error of the booster into a failure. EAGAIN (a thread cannot start) and ENOMEM (memory cannot be mapped)
/// mean that the job has reached its limits, and become `TRAINER_OUT_OF_MEMORY`. All others become `TRAINER_FAILED`.
pub(super) fn failed(error: impl std::fmt::Display) -> Failure {
    const NO_ROOM: [&str; 2] = ["(os error 11)", "(os error 12)"];
    let message = error.to_string();
    if NO_ROOM.iter().any(|sign| message.contains(sign)) {
        return Failure::new(FailureCode::TrainerOutOfMemory, format!("the trainer ran out of memory: {message}"));
    }
    Failure::new(FailureCode::TrainerFailed, message)
}

fn as_numbers(labels: &[bool]) -> Vec<f32> {
    labels.iter().map(|&label| f32::from(u8::from(label))).collect()
}

impl Matrix {
    /// Builds a matrix from the features and labels of a table whose categories are already encoded.
    pub fn new(table: &Table, features: &[Feature]) -> Result<Self, Failure> {
        let Self { rows, features, presence } = Self::unlabelled(&table.features, table.rows(), features)?;
        Ok(Self { rows: rows.with_labels(&as_numbers(&table.label)).map_err(failed)?, features, presence })
    }

    /// Builds a matrix to fit models to the rows `train`. Until [`Self::release`], the table holds marks in the place of
    /// the values of some features (see [`Presence`]).
    pub fn to_fit(table: &mut Table, train: &[usize], features: &[Feature]) -> Result<Self, Failure> {
        let presence = Presence::mark(&mut table.features, train, features);
        Ok(Self { presence, ..Self::new(table, features)? })
    }

    /// Gives the table its own values back.
    pub fn release(self, table: &mut Table) {
        let Self { rows, presence, .. } = self;
        drop(rows);
        presence.unmark(&mut table.features);
    }

    /// Builds a matrix from features without labels. Such a matrix can be scored but not fitted.
    pub fn unlabelled(values: &Features, count: usize, features: &[Feature]) -> Result<Self, Failure> {
        let types: Vec<FeatureType> = features
            .iter()
            .map(|feature| match feature.kind {
                FeatureKind::Numeric => FeatureType::Numerical,
                FeatureKind::Categorical => FeatureType::Categorical,
            })
            .collect();
        let rows = DMatrix::from_dense_shared(values.shared(), count, features.len(), f32::NAN)
            .and_then(|rows| rows.with_feature_types(&types))
            .map_err(failed)?;
        Ok(Self { rows, features: features.to_vec(), presence: Presence::default() })
    }

    pub(super) fn view(&self, rows: &[usize]) -> Result<DMatrix, Failure> {
        self.rows.select_rows(rows).map_err(failed)
    }
}

/// Fits a model. Calls `on_round` after each round with the number of trees fitted so far.
pub fn fit(
    matrix: &Matrix,
    rows: FittingWindow<'_>,
    parameters: &BoostParameters,
    seed: u64,
    threads: u32,
    mut on_round: impl FnMut(u32) + Send,
) -> Result<Fitted, Failure> {
    let params = training_parameters(matrix, parameters, seed, threads)?;
    let train = matrix.view(rows.train)?;
    let patience = NonZeroUsize::new(parameters.early_stopping_rounds as usize);
    if patience.is_some() && rows.validation.is_empty() {
        return Err(failed("early stopping needs rows in the validation window"));
    }
    let validation = patience.map(|_| matrix.view(rows.validation)).transpose()?;
    let mut trainer = Trainer::new(&params, &train, parameters.rounds as usize);
    if let (Some(validation), Some(patience)) = (&validation, patience) {
        trainer = trainer.eval(validation, "validation").early_stopping_rounds(patience);
    }
    let outcome = trainer
        .on_round(|round| {
            on_round(round.iteration() as u32 + 1);
            ControlFlow::Continue(())
        })
        .train()
        .map_err(failed)?;
    // XGBoost scores with every tree in the file. Therefore the file must hold only the trees up to the best round.
    let model = match outcome.model.best_iteration() {
        Some(best) => outcome.model.slice(..=best, 1).map_err(failed)?,
        None => outcome.model,
    };
    if matrix.presence.is_empty() {
        return Ok(Fitted { model });
    }
    let marked = model.encode(ModelFormat::XgboostJson).map_err(failed)?;
    let of_values = matrix.presence.to_values(&marked).map_err(failed)?;
    Ok(Fitted { model: BoostedModel::decode(&of_values, ModelFormat::XgboostJson).map_err(failed)? })
}

/// Fits a model to `labels`, one for each row of `train`, in place of the table's own labels. Does not stop early. The
/// model can score rows of `matrix` only.
pub fn fit_to_labels(
    matrix: &Matrix,
    train: &[usize],
    labels: &[bool],
    parameters: &BoostParameters,
    seed: u64,
    threads: u32,
) -> Result<Fitted, Failure> {
    let params = training_parameters(matrix, parameters, seed, threads)?;
    let train = matrix.view(train)?.with_labels(&as_numbers(labels)).map_err(failed)?;
    let outcome = Trainer::new(&params, &train, parameters.rounds as usize).train().map_err(failed)?;
    Ok(Fitted { model: outcome.model })
}

fn training_parameters(
    matrix: &Matrix,
    parameters: &BoostParameters,
    seed: u64,
    threads: u32,
) -> Result<TrainingParams, Failure> {
    let features = matrix.features.iter().enumerate();
    let constraints: Vec<Direction> = features
        .map(|(index, feature)| match feature.monotone {
            None => Direction::None,
            // A constraint orders values, and a marked feature has only one. A missing value may score higher or lower.
            Some(_) if matrix.presence.has(index) => Direction::None,
            Some(Monotone::Increasing) => Direction::Increasing,
            Some(Monotone::Decreasing) => Direction::Decreasing,
        })
        .collect();
    let BoostObjective::BinaryLogistic = parameters.objective;
    let BoostTreeMethod::Hist = parameters.tree_method;
    let BoostEvalMetric::LogLoss = parameters.eval_metric;
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
        .colsample_bylevel(parameters.colsample_bylevel)
        .colsample_bynode(parameters.colsample_bynode)
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

impl Fitted {
    /// Returns the number of trees in the model. Early stopping has removed the trees after the best round.
    pub fn rounds(&self) -> u32 {
        self.model.num_trees() as u32
    }

    /// Encodes the model as XGBoost JSON, with the names and types of its inputs and its category codes.
    pub fn xgboost_json(&self, features: &[Feature], categories: &[FeatureCategories]) -> Result<Vec<u8>, Failure> {
        let bytes = self.model.encode(ModelFormat::XgboostJson).map_err(failed)?;
        xgboost_json::complete(&bytes, features, categories, None).map_err(failed)
    }
}
