//! Metrics of a binary classifier on the test window, as scikit-learn defines them, ties included.
//!
//! A metric that is undefined is null with a reason; it can never pass a gate.

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
