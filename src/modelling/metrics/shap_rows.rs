//! The rows that explain a model.

/// SHAP values are averaged over at most so many rows of the test window.
const SHAP_ROWS: usize = 2_000;

/// Up to `SHAP_ROWS` of these rows, evenly spaced.
pub fn shap_rows(rows: &[usize]) -> Vec<usize> {
    rows.iter().copied().step_by(rows.len().div_ceil(SHAP_ROWS).max(1)).collect()
}
