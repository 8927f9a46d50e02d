//! Fits models, scores rows with them, and builds parity vectors, which are rows at the edges of a model's splits with
//! their scores.
//!
//! Formula: Chen and Guestrin, "XGBoost: A Scalable Tree Boosting System", KDD 2016.

use super::presence::Presence;
use super::xgboost_json;
use crate::domain::contract::{
    BoostEvalMetric, BoostObjective, BoostParameters, BoostTreeMethod, Feature, FeatureCategories, FeatureEffect,
    FeatureKind, Monotone, ParityOrigin, ParityVectors,
};
use crate::domain::identity::RunId;
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::{Features, Table, edge_rows, parity_inputs};
use crate::training::protocol::CountedFeature;
use hessboost::config::Monotone as Direction;
use hessboost::data::FeatureType;
use hessboost::metric::EvalMetric;
use hessboost::model::ModelFormat;
use hessboost::objective::{Objective, RegLoss};
use hessboost::prelude::*;
use hessboost::tree::RegTree;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

/// All rows of a table as the booster reads them. The matrix shares the table's feature values and holds no copy.
pub struct Matrix {
    rows: DMatrix,
    features: Vec<Feature>,
    presence: Presence,
}

#[derive(Debug, Clone, Copy)]
pub struct FittingWindow<'a> {
    /// The row numbers to fit on.
    pub train: &'a [usize],
    /// The row numbers for early stopping. If empty, the fit does not stop early.
    pub validation: &'a [usize],
}

pub struct Fitted {
    model: BoostedModel,
}

/// Turns an error of the booster into a failure. EAGAIN (a thread cannot start) and ENOMEM (memory cannot be mapped)
/// mean that the job has reached its limits, and become `TRAINER_OUT_OF_MEMORY`. All others become `TRAINER_FAILED`.
fn failed(error: impl std::fmt::Display) -> Failure {
    const NO_ROOM: [&str; 2] = ["(os error 11)", "(os error 12)"];
    let message = error.to_string();
    if NO_ROOM.iter().any(|sign| message.contains(sign)) {
        return Failure::new(FailureCode::TrainerOutOfMemory, format!("the trainer ran out of memory: {message}"));
    }
    Failure::new(FailureCode::TrainerFailed, message)
}

/// Most splits on a path from the root of a tree to a leaf. Our own fits have at most 16. The booster goes down a tree
/// by recursion, so a deeper tree of another program might overflow the stack of its thread.
const MAX_LEVELS: usize = 256;

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

    fn view(&self, rows: &[usize]) -> Result<DMatrix, Failure> {
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
    Fitted::read(&matrix.presence.to_values(&marked).map_err(failed)?)
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

fn checked(scores: Vec<f32>) -> Result<Vec<f32>, Failure> {
    if scores.iter().all(|score| (0.0..=1.0).contains(score)) {
        Ok(scores)
    } else {
        Err(failed("the model gave a score that is not between 0 and 1"))
    }
}

impl Fitted {
    /// Reads the model of an earlier bundle and its category codes. The error says why the model cannot be scored.
    pub fn open(xgboost_json: &[u8], features: &[Feature]) -> Result<(Self, Vec<FeatureCategories>), String> {
        let categories = xgboost_json::categories(xgboost_json, features)?;
        let fitted = Self::read(xgboost_json).map_err(|failure| failure.message)?;
        Ok((fitted, categories))
    }

    /// Reads a model. Returns a failure for a tree of more than `MAX_LEVELS` levels.
    pub fn read(xgboost_json: &[u8]) -> Result<Self, Failure> {
        let model = BoostedModel::decode(xgboost_json, ModelFormat::XgboostJson).map_err(failed)?;
        match model.trees().iter().map(RegTree::depth).find(|&levels| levels > MAX_LEVELS) {
            None => Ok(Self { model }),
            Some(levels) => Err(failed(format!("a tree has {levels} levels, and at most {MAX_LEVELS} can be scored"))),
        }
    }

    /// Returns the number of trees in the model. Early stopping has removed the trees after the best round.
    pub fn rounds(&self) -> u32 {
        self.model.num_trees() as u32
    }

    /// Returns a probability of fraud, 0 to 1, for each row of `values`, which holds the features row by row. NaN is a
    /// missing value. A category is given as its code.
    pub fn score_rows(&self, values: &[f32]) -> Result<Vec<f32>, Failure> {
        checked(self.model.predict_rows(values, Iterations::Best).map_err(failed)?.into_vec())
    }

    /// Returns a probability of fraud, 0 to 1, for each row number in `rows`, in the same order.
    pub fn score(&self, matrix: &Matrix, rows: &[usize]) -> Result<Vec<f32>, Failure> {
        checked(self.model.predict(&matrix.view(rows)?, Iterations::Best).map_err(failed)?.into_vec())
    }

    /// Returns each feature's number of splits, total gain, and SHAP values averaged over `rows`. If there are more
    /// than `SHAP_ROWS` rows, averages over an evenly spaced sample of at most `SHAP_ROWS`.
    pub fn effects(&self, matrix: &Matrix, rows: &[usize]) -> Result<Vec<FeatureEffect>, Failure> {
        const SHAP_ROWS: usize = 2_000;
        let rows: Vec<usize> = rows.iter().copied().step_by(rows.len().div_ceil(SHAP_ROWS).max(1)).collect();
        let shap = self.model.predict_contribs(&matrix.view(&rows)?, Iterations::Best).map_err(failed)?;
        let width = matrix.features.len();
        let mut sums = vec![(0.0_f64, 0.0_f64); width];
        // The last value of a row is the bias, which belongs to no feature.
        for row in shap.as_slice().chunks_exact(width + 1) {
            for ((size, sum), value) in sums.iter_mut().zip(row) {
                *size += f64::from(value.abs());
                *sum += f64::from(*value);
            }
        }
        let count = rows.len().max(1) as f64;
        let effects =
            self.counted(&matrix.features).into_iter().zip(sums).map(|(counted, (size, sum))| FeatureEffect {
                feature: counted.feature,
                splits: counted.splits,
                total_gain: counted.total_gain,
                mean_abs_shap: size / count,
                mean_shap: sum / count,
            });
        Ok(effects.collect())
    }

    /// Returns each feature's number of splits and total gain.
    pub fn counted(&self, features: &[Feature]) -> Vec<CountedFeature> {
        let splits = self.model.feature_importance(ImportanceType::Weight);
        let gains = self.model.feature_importance(ImportanceType::TotalGain);
        let of = |(index, feature): (usize, &Feature)| CountedFeature {
            feature: feature.name.clone(),
            splits: splits.get(&index).map_or(0, |splits| *splits as u64),
            total_gain: gains.get(&index).copied().unwrap_or(0.0),
        };
        features.iter().enumerate().map(of).collect()
    }

    /// Encodes the model as XGBoost JSON, with the names and types of its inputs and its category codes.
    pub fn xgboost_json(&self, features: &[Feature], categories: &[FeatureCategories]) -> Result<Vec<u8>, Failure> {
        let bytes = self.model.encode(ModelFormat::XgboostJson).map_err(failed)?;
        xgboost_json::complete(&bytes, features, categories).map_err(failed)
    }
}

/// Builds parity vectors from a model in XGBoost JSON. The model is read from these bytes, not from the fit in memory,
/// so that the scores are those of the file.
pub fn parity_vectors(run_id: &RunId, model: &[u8], features: &[Feature]) -> Result<ParityVectors, Failure> {
    let unreadable =
        |why: String| Failure::new(FailureCode::TrainerFailed, format!("the model that was written: {why}"));
    let (categories, rows) = edge_rows(model, features).map_err(unreadable)?;
    let inputs =
        parity_inputs(features, &categories, rows.iter().map(|row| row.values.as_slice())).map_err(unreadable)?;
    let scores = Fitted::read(model)?.score_rows(&inputs)?;
    let vectors = rows.into_iter().zip(scores);
    Ok(ParityVectors::new(run_id, model, ParityOrigin::Model, features, categories, vectors))
}

/// Scores the rows of the parity vectors with the model. The error describes the first score that differs.
pub fn compare_scores(model: &Fitted, features: &[Feature], parity: &ParityVectors) -> Result<(), String> {
    let scores = model.score_rows(&parity.inputs(features)?).map_err(|failure| failure.message)?;
    parity.first_difference(&scores).map_or(Ok(()), Err)
}
