//! What the features do in a model, for the report.

use serde::{Deserialize, Serialize};

/// Rows of the test window that attributions are averaged over, at the most.
pub const SHAP_ROWS: usize = 2_000;

/// What one feature does in the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureEffect {
    /// The feature.
    pub feature: String,
    /// Splits on it.
    pub splits: u64,
    /// Loss reduction of these splits, summed.
    pub total_gain: f64,
    /// Mean size of its contribution to the log-odds of a row of the test window (SHAP value: Lundberg et
    /// al., "Consistent Individualized Feature Attribution for Tree Ensembles", 2018).
    pub mean_abs_shap: f64,
    /// Mean of its contribution: above 0 where it makes fraud likelier.
    pub mean_shap: f64,
}

/// Up to [`SHAP_ROWS`] of these rows, evenly spaced.
pub fn shap_rows(rows: &[usize]) -> Vec<usize> {
    rows.iter().copied().step_by(rows.len().div_ceil(SHAP_ROWS).max(1)).collect()
}
