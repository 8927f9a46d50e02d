//! Fits models.
//!
//! Formula: Chen and Guestrin, "XGBoost: A Scalable Tree Boosting System", KDD 2016.

use super::parameters::training_parameters;
use super::presence::Presence;
use super::xgboost_json;
use crate::domain::contract::{BoostParameters, Feature, FeatureCategories, FeatureKind};
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::{Features, Table};
use hessboost::data::FeatureType;
use hessboost::model::ModelFormat;
use hessboost::prelude::*;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

/// All rows of a table as the booster reads them. The matrix shares the table's feature values and holds no copy.
pub struct Matrix {
    rows: DMatrix,
    pub(super) features: Vec<Feature>,
    presence: Presence,
    /// How many payments each row stands for, in a matrix to fit. `None` if each row is one payment.
    weights: Option<Vec<f32>>,
}

#[derive(Debug, Clone, Copy)]
pub struct FittingWindow<'a> {
    /// The row numbers to fit on.
    pub train: &'a [usize],
    /// The row numbers for early stopping. If empty, the fit does not stop early.
    pub validation: &'a [usize],
}

/// A model as the fit left it in memory. It becomes a `LoadedModel`, which can score, by way of
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
        let matrix = Self::unlabelled(&table.features, table.rows(), features)?;
        Ok(Self { rows: matrix.rows.with_labels(&as_numbers(&table.label)).map_err(failed)?, ..matrix })
    }

    /// Builds a matrix to fit models to the rows of two windows, of which one may be empty. Until [`Self::release`], the
    /// table holds marks in the place of the values of some features (see `Presence`).
    pub fn to_fit(table: &mut Table, learned: [&[usize]; 2], features: &[Feature]) -> Result<Self, Failure> {
        let presence = Presence::mark(&mut table.features, learned, features);
        let weights = table.weight.clone();
        Ok(Self { presence, weights, ..Self::new(table, features)? })
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
        Ok(Self { rows, features: features.to_vec(), presence: Presence::default(), weights: None })
    }

    fn parameters(&self, parameters: &BoostParameters, seed: u64, threads: u32) -> Result<TrainingParams, Failure> {
        training_parameters(&self.features, &self.presence, parameters, seed, threads).map_err(failed)
    }

    pub(super) fn view(&self, rows: &[usize]) -> Result<DMatrix, Failure> {
        self.rows.select_rows(rows).map_err(failed)
    }

    /// Returns rows with their weights, to fit to or to stop by.
    fn weighted(&self, rows: &[usize]) -> Result<DMatrix, Failure> {
        let view = self.view(rows)?;
        let Some(weights) = &self.weights else { return Ok(view) };
        let weights: Vec<f32> = rows.iter().map(|&row| weights[row]).collect();
        view.with_weights(&weights).map_err(failed)
    }
}

/// Fits a model. Calls `on_round` after each round with the number of rounds so far, over all of the model's fits.
pub fn fit(
    matrix: &Matrix,
    rows: FittingWindow<'_>,
    parameters: &BoostParameters,
    seed: u64,
    threads: u32,
    mut on_round: impl FnMut(u32) + Send,
) -> Result<Fitted, Failure> {
    let mut done = 0;
    let mut count = || {
        done += 1;
        on_round(done);
    };
    let fits = (0..u64::from(parameters.seeds)).map(|number| {
        let params = matrix.parameters(parameters, seed.wrapping_add(number), threads)?;
        fit_once(matrix, rows, parameters, &params, &mut count)
    });
    let mut models = fits.collect::<Result<Vec<BoostedModel>, Failure>>()?;
    let model = match (models.pop(), models.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            models.extend(last);
            BoostedModel::average(&models).map_err(failed)?
        }
    };
    if matrix.presence.is_empty() {
        return Ok(Fitted { model });
    }
    let marked = model.encode(ModelFormat::XgboostJson).map_err(failed)?;
    let of_values = matrix.presence.to_values(&marked).map_err(failed)?;
    Ok(Fitted { model: BoostedModel::decode(&of_values, ModelFormat::XgboostJson).map_err(failed)? })
}

/// Fits with one seed: to the train window, and then, with `refit`, once more to both windows.
fn fit_once(
    matrix: &Matrix,
    rows: FittingWindow<'_>,
    parameters: &BoostParameters,
    params: &TrainingParams,
    on_round: &mut (impl FnMut() + Send),
) -> Result<BoostedModel, Failure> {
    let train = matrix.weighted(rows.train)?;
    let patience = NonZeroUsize::new(parameters.early_stopping_rounds as usize);
    if patience.is_some() && rows.validation.is_empty() {
        return Err(failed("early stopping needs rows in the validation window"));
    }
    let validation = patience.map(|_| matrix.weighted(rows.validation)).transpose()?;
    let mut trainer = Trainer::new(params, &train, parameters.rounds as usize);
    if let (Some(validation), Some(patience)) = (&validation, patience) {
        trainer = trainer.eval(validation, "validation").early_stopping_rounds(patience);
    }
    let model = counted(trainer, on_round)?;
    let Some(best) = model.best_iteration() else { return Ok(model) };
    if parameters.refit {
        let mut both = [rows.train, rows.validation].concat();
        both.sort_unstable();
        return counted(Trainer::new(params, &matrix.weighted(&both)?, best + 1), on_round);
    }
    // XGBoost scores with every tree in the file. Therefore the file must hold only the trees up to the best round.
    model.slice(..=best, 1).map_err(failed)
}

fn counted<'a>(trainer: Trainer<'a>, on_round: &'a mut (impl FnMut() + Send)) -> Result<BoostedModel, Failure> {
    let trainer = trainer.on_round(|_| {
        on_round();
        ControlFlow::Continue(())
    });
    Ok(trainer.train().map_err(failed)?.model)
}

/// Fits a model to `labels`, one for each row of `train`, in place of the table's own labels. Does not stop early, and
/// takes no weights, since these may give away the table's own labels. The model can score rows of `matrix` only.
pub fn fit_to_labels(
    matrix: &Matrix,
    train: &[usize],
    labels: &[bool],
    parameters: &BoostParameters,
    seed: u64,
    threads: u32,
) -> Result<Fitted, Failure> {
    let params = matrix.parameters(parameters, seed, threads)?;
    let train = matrix.view(train)?.with_labels(&as_numbers(labels)).map_err(failed)?;
    let outcome = Trainer::new(&params, &train, parameters.rounds as usize).train().map_err(failed)?;
    Ok(Fitted { model: outcome.model })
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
