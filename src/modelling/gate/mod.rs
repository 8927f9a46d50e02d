//! The verdict: evaluation report, gate, and what may be published.

mod champion;
mod clearance;
mod eligibility;
mod eval_report;
mod judge;
mod receipt;
mod thresholds;

pub use clearance::{StoredVerdict, clear_announcement, clear_for_publication};
pub use eligibility::eligibility;
pub use eval_report::{eval_report_id, report};
pub use receipt::gate;
pub use thresholds::Threshold;
