//! Parity vectors: rows at the edges of a model's splits, with the scores that the model gives them.

use super::model::Fitted;
use crate::domain::contract::{Feature, ParityOrigin, ParityVectors};
use crate::domain::identity::RunId;
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::{edge_rows, parity_inputs};

/// Derives the rows from a model in XGBoost JSON, and scores them with the model read from that text, not with the one in
/// memory.
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

/// Scores the rows with this model; an error names the first score that differs.
pub fn check_parity(model: &[u8], features: &[Feature], parity: &ParityVectors) -> Result<(), String> {
    let model = Fitted::read(model).map_err(|failure| failure.message)?;
    compare_scores(&model, features, parity)
}

/// [`check_parity`] for a model that is already read. Scores that Model Factory computed must agree bit for bit; those of
/// a registered command's own library within 1e-6.
pub fn compare_scores(model: &Fitted, features: &[Feature], parity: &ParityVectors) -> Result<(), String> {
    /// Two libraries add up the same leaves, each with its own exponential function.
    const NEAR: f32 = 1e-6;
    let scores = model.score_rows(&parity.inputs(features)?).map_err(|failure| failure.message)?;
    let difference = match parity.origin {
        ParityOrigin::Model => parity.first_difference(&scores),
        ParityOrigin::Trainer => parity.first_further_than(NEAR, &scores),
    };
    difference.map_or(Ok(()), Err)
}
