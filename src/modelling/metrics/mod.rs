//! Computes the metrics of a binary classifier on the test window, as scikit-learn defines them, also for equal scores.
//!
//! A metric that is undefined is null with a reason. A null metric never passes a gate.

mod amounts;
mod cards;
mod contradiction;
mod curves;
mod difference;
mod influence;
mod interval;
mod kind;
mod measure;
mod order;
mod probability;
mod ranking;
mod share;
mod units;

pub use contradiction::contradiction;
pub use difference::differences;
pub use interval::IntervalBasis;
pub use kind::MetricKind;
pub use measure::{Measured, Slicing, measure, one, precision_and_recall};
pub use order::{ScoredRows, defined, undefined};
pub use share::{WeightedShare, weighted_share};
