//! Reads models in XGBoost JSON, scores rows with them, and builds parity vectors, which are rows at the edges of a
//! model's splits with their scores.
//!
//! Guarantees: every score is that of a file. Never: scores a model as the fit left it in memory, since the file of some
//! models gives other scores in the last bits.

use super::model::{Matrix, failed};
use super::xgboost_json;
use crate::domain::contract::{Feature, FeatureCategories, FeatureEffect, ParityOrigin, ParityVectors};
use crate::domain::identity::RunId;
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::{edge_rows, parity_inputs};
use crate::training::protocol::CountedFeature;
use hessboost::model::ModelFormat;
use hessboost::prelude::*;
use hessboost::tree::RegTree;

/// A model as its file has it.
pub struct LoadedModel {
    model: BoostedModel,
}

/// Most splits on a path from the root of a tree to a leaf. Our own fits have at most 16. The booster goes down a tree
/// by recursion, so a deeper tree of another program might overflow the stack of its thread.
const MAX_LEVELS: usize = 256;

fn checked(scores: Vec<f32>) -> Result<Vec<f32>, Failure> {
    if scores.iter().all(|score| (0.0..=1.0).contains(score)) {
        Ok(scores)
    } else {
        Err(failed("the model gave a score that is not between 0 and 1"))
    }
}

impl LoadedModel {
    /// Reads the model of an earlier bundle and its category codes. The error says why the model cannot be scored.
    pub fn open(xgboost_json: &[u8], features: &[Feature]) -> Result<(Self, Vec<FeatureCategories>), String> {
        let categories = xgboost_json::categories(xgboost_json, features)?;
        let loaded = Self::read(xgboost_json).map_err(|failure| failure.message)?;
        Ok((loaded, categories))
    }

    /// Reads a model. Returns a failure for a tree of more than `MAX_LEVELS` levels.
    pub fn read(xgboost_json: &[u8]) -> Result<Self, Failure> {
        let file = xgboost_json::for_the_crate(xgboost_json).map_err(failed)?;
        let model = BoostedModel::decode(&file, ModelFormat::XgboostJson).map_err(failed)?;
        match model.trees().iter().map(RegTree::depth).find(|&levels| levels > MAX_LEVELS) {
            None => Ok(Self { model }),
            Some(levels) => Err(failed(format!("a tree has {levels} levels, and at most {MAX_LEVELS} can be scored"))),
        }
    }

    /// Returns whether the booster would write this model with exactly the bytes of `file`, from which it was read.
    pub fn is_written_as(
        &self,
        file: &[u8],
        features: &[Feature],
        categories: &[FeatureCategories],
    ) -> Result<bool, Failure> {
        // The crate reads the file's base score, a probability, into a margin. Turned back into a probability, some
        // differ in the last bit. So the file's own is written again.
        let base_score = xgboost_json::base_score(file).map_err(failed)?;
        let bytes = self.model.encode(ModelFormat::XgboostJson).map_err(failed)?;
        let written = xgboost_json::complete(&bytes, features, categories, Some(base_score)).map_err(failed)?;
        Ok(written == file)
    }

    /// Returns the number of trees.
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
        if rows.is_empty() {
            return Ok(Vec::new());
        }
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
}

/// Builds parity vectors from a model in XGBoost JSON.
pub fn parity_vectors(run_id: &RunId, model: &[u8], features: &[Feature]) -> Result<ParityVectors, Failure> {
    let unreadable =
        |why: String| Failure::new(FailureCode::TrainerFailed, format!("the model that was written: {why}"));
    let (categories, rows) = edge_rows(model, features).map_err(unreadable)?;
    let inputs =
        parity_inputs(features, &categories, rows.iter().map(|row| row.values.as_slice())).map_err(unreadable)?;
    let scores = LoadedModel::read(model)?.score_rows(&inputs)?;
    let vectors = rows.into_iter().zip(scores);
    Ok(ParityVectors::new(run_id, model, ParityOrigin::Model, features, categories, vectors))
}

/// Scores the rows of the parity vectors with the model. The error describes the first score that differs.
pub fn compare_scores(model: &LoadedModel, features: &[Feature], parity: &ParityVectors) -> Result<(), String> {
    let scores = model.score_rows(&parity.inputs(features)?).map_err(|failure| failure.message)?;
    parity.first_difference(&scores).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::super::model::{FittingWindow, fit};
    use super::*;
    use crate::domain::contract::{BoostParameters, FeatureKind};
    use crate::modelling::{Features, Table};

    /// A model of one numeric feature, in XGBoost JSON.
    fn file(features: &[Feature]) -> Vec<u8> {
        let values: Vec<f32> = (0..40_u8).map(f32::from).collect();
        let mut table = Table::of_good(values.len(), Features::new(1, values, vec![None]));
        table.label = (0..40).map(|row| row % 3 == 0 || row > 30).collect();
        let rows: Vec<usize> = (0..40).collect();
        let parameters = BoostParameters { rounds: 3, ..BoostParameters::default() };
        let window = FittingWindow { train: &rows, validation: &[] };
        let fitted = fit(&Matrix::new(&table, features).unwrap(), window, &parameters, 1, 1, |_| {}).unwrap();
        fitted.xgboost_json(features, &[]).unwrap()
    }

    #[test]
    fn a_file_is_known_again_where_its_base_score_changes_on_the_way_through_a_margin() {
        let features = [Feature { name: "amount".to_owned(), kind: FeatureKind::Numeric, monotone: None }];
        let file = file(&features);
        let with_base_score = |base_score: &str| {
            let mut document: serde_json::Value = serde_json::from_slice(&file).unwrap();
            document["learner"]["learner_model_param"]["base_score"] = base_score.into();
            serde_json::to_vec(&document).unwrap()
        };
        let is_known = |file: &[u8]| LoadedModel::read(file).unwrap().is_written_as(file, &features, &[]).unwrap();
        // As 32-bit floats, the logit of this probability is that of the next one, too.
        let lossy = with_base_score("0.08135757");
        let model = LoadedModel::read(&lossy).unwrap().model.encode(ModelFormat::XgboostJson).unwrap();
        assert!(!String::from_utf8(model).unwrap().contains("[0.08135757]"), "the crate keeps this base score now");
        assert!(is_known(&file) && is_known(&lossy));
        assert!(!is_known(&with_base_score("8.135757e-2")), "the number in another form");
        assert!(!is_known(&with_base_score("[0.08135757]")), "a list, which XGBoost 3.0 does not read");
    }
}
