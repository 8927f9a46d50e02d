//! What the features do in a model, for the report.

/// Rows of the test window that attributions are averaged over, at the most.
pub const SHAP_ROWS: usize = 2_000;

/// Up to [`SHAP_ROWS`] of these rows, evenly spaced.
pub fn shap_rows(rows: &[usize]) -> Vec<usize> {
    rows.iter().copied().step_by(rows.len().div_ceil(SHAP_ROWS).max(1)).collect()
}
