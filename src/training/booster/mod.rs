//! Fits gradient-boosted trees with `hessboost`, and saves them as XGBoost JSON.
//!
//! Guarantees: the same rows, parameters and seed give the same model bytes on any number of threads. Never: copies the
//! feature values of a whole table.

mod model;
mod presence;
mod xgboost_json;

pub use model::{Fitted, FittingWindow, Matrix, fit};
pub(super) use model::{compare_scores, fit_to_labels, parity_vectors};
