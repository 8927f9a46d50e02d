//! `input_example.json`: rows that MLflow shows to whoever loads the model, in its own form.
//!
//! Format: a data frame as pandas writes it with `orient="split"`.

use crate::domain::contract::{Feature, ParityCase, ParityVectors};
use serde_json::{Value, json};

/// Its name in the bundle.
pub const EXAMPLE_FILE: &str = "input_example.json";

/// Up to five of the parity vectors' rows, as the model reads them: a category is its code.
pub fn input_example(parity: &ParityVectors, features: &[Feature]) -> Value {
    const ROWS: usize = 5;
    let ordinary = |case| match case {
        ParityCase::Middle
        | ParityCase::OneMissing
        | ParityCase::AtThreshold
        | ParityCase::BelowThreshold
        | ParityCase::KnownCategory
        | ParityCase::TestRow => true,
        ParityCase::AllMissing
        | ParityCase::Lowest
        | ParityCase::Highest
        | ParityCase::Zero
        | ParityCase::UnknownCategory => false,
    };
    // Vectors that do not fit the features have no example; whoever wrote them fitted them.
    let inputs = parity.inputs(features).unwrap_or_default();
    let rows = inputs.chunks_exact(features.len().max(1)).zip(&parity.vectors);
    let shown = rows.filter(|(_, vector)| ordinary(vector.case)).take(ROWS);
    let data: Vec<Vec<Option<f32>>> =
        shown.map(|(row, _)| row.iter().map(|&value| Some(value).filter(|value| !value.is_nan())).collect()).collect();
    json!({"columns": parity.features, "data": data})
}
