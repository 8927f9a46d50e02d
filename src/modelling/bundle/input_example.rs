//! `input_example.json`: rows that MLflow shows to people who load the model.
//!
//! Format: a data frame as pandas writes it with `orient="split"`.

use crate::domain::contract::{Feature, ParityCase, ParityVectors};
use serde_json::{Value, json};

pub const EXAMPLE_FILE: &str = "input_example.json";

/// Up to five ordinary rows of the parity vectors, as the model reads them: a category is its code.
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
    // Vectors always fit the features that they were written for; if they do not, the example is empty.
    let inputs = parity.inputs(features).unwrap_or_default();
    let rows = inputs.chunks_exact(features.len().max(1)).zip(&parity.vectors);
    let shown = rows.filter(|(_, vector)| ordinary(vector.case)).take(ROWS);
    let data: Vec<Vec<Option<f32>>> =
        shown.map(|(row, _)| row.iter().map(|&value| Some(value).filter(|value| !value.is_nan())).collect()).collect();
    json!({"columns": parity.features, "data": data})
}
