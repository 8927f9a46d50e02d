//! Computes the metrics of a binary classifier on the test window, as scikit-learn defines them, also for equal scores.
//!
//! A metric that is undefined is null with a reason. A null metric never passes a gate.

mod bootstrap;
mod cards;
mod curves;
mod difference;
mod kind;
mod measure;
mod order;
mod probability;
mod ranking;

pub use bootstrap::Resampling;
pub use difference::differences;
pub use kind::MetricKind;
pub use measure::{Measured, Slicing, measure};
pub use order::ScoredRows;
