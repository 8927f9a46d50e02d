//! Writes the evaluation report, decides PASS or FAIL, and says what may be published.

mod clearance;
mod documents;
mod judge;
mod slices;
mod sources;
mod thresholds;

pub use clearance::{StoredVerdict, clear_announcement, clear_for_publication, eligibility};
pub use documents::{eval_report_id, gate, report};
pub use slices::check as check_slice_conditions;
pub use sources::{evaluation_of, stated_profile};
pub use thresholds::Threshold;
