//! The documents that the page shows.

use crate::domain::contract::{EvalReport, EvidenceRef, GateReceipt, TrainPlan};

#[derive(Debug, Clone, Copy)]
pub struct ReportSources<'a> {
    pub plan: &'a TrainPlan,
    pub report: &'a EvalReport,
    pub receipt: &'a GateReceipt,
    /// Where the receipt stands; none before it is stored.
    pub receipt_at: Option<&'a EvidenceRef>,
}
