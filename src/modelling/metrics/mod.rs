//! Metrics of a binary classifier on the test window, as scikit-learn defines them, ties included.
//!
//! A metric that is undefined is null with a reason; it can never pass a gate.

mod bootstrap;
mod cards;
mod confusion;
mod curves;
mod difference;
mod kind;
mod measure;
mod metric;
mod order;
mod probability;
mod ranked_window;
mod ranking;
mod scored_rows;
mod shap_rows;
mod slices;

pub use bootstrap::Resampling;
pub use difference::differences;
pub use kind::MetricKind;
pub use measure::{Measured, measure};
pub use scored_rows::ScoredRows;
pub use shap_rows::shap_rows;
pub use slices::Slicing;
