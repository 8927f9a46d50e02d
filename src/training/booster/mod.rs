//! Gradient-boosted trees by `hessboost`, saved as XGBoost JSON.
//!
//! Guarantees: the same rows, parameters and seed give the same bytes on any number of threads. Never: copies the values
//! of a table.

mod model;
mod parity;
mod xgboost_json;

pub(super) use model::fit_to_labels;
pub use model::{Fitted, FittingWindow, Matrix, fit};
pub use parity::check_parity;
pub(super) use parity::{compare_scores, parity_vectors};
