//! Fits gradient-boosted trees with `hessboost`, saves them as XGBoost JSON, and scores rows with such files.
//!
//! Guarantees: the same rows, parameters and seed give the same model bytes on any number of threads. Never: copies the
//! feature values of a whole table.

mod loaded;
mod model;
mod node_order;
mod parameters;
mod presence;
mod xgboost_json;

#[cfg(test)]
mod tests;

pub use loaded::LoadedModel;
pub(super) use loaded::{compare_scores, parity_vectors};
pub(super) use model::fit_to_labels;
pub use model::{Fitted, FittingWindow, Matrix, fit};
