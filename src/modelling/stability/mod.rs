//! Compares the windows of a run with each other: do their values look alike, and are they as the profile expects?

mod cells;
mod days;
mod expectations;
mod histograms;
mod psi;

pub use expectations::check_expectations;
pub use histograms::feature_histograms;
