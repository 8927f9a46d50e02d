//! Parity vectors by the booster: rows that try the model's edges, and the scores that it gives them.

use super::booster::Fitted;
use crate::domain::contract::Feature;
use crate::domain::identity::RunId;
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::{ParityOrigin, ParityVectors, edge_rows, parity_inputs};

/// Makes the rows from a model in XGBoost JSON and scores them with what the file says, not with the
/// model in memory.
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

/// Scores the vectors' rows with this model and says which score differs first, if one does.
pub fn check_parity(model: &[u8], features: &[Feature], parity: &ParityVectors) -> Result<(), String> {
    let model = Fitted::read(model).map_err(|failure| failure.message)?;
    must_agree(&model, features, parity)
}

/// The same with a model that was read: bit for bit where Model Factory made the vectors; as near as two
/// libraries come where a registered command's own gave the scores.
pub fn must_agree(model: &Fitted, features: &[Feature], parity: &ParityVectors) -> Result<(), String> {
    /// Between libraries that add up the same leaves, each with its own exponential function.
    const NEAR: f32 = 1e-6;
    let scores = model.score_rows(&parity.inputs(features)?).map_err(|failure| failure.message)?;
    let difference = match parity.origin {
        ParityOrigin::Model => parity.first_difference(&scores),
        ParityOrigin::Trainer => parity.first_further_than(NEAR, &scores),
    };
    difference.map_or(Ok(()), Err)
}
