//! The table of the audit log. Appends blocks of acts, each chained to the previous block. Reads and verifies blocks,
//! and compares evidence with them.

mod blocks;
mod evidence;
mod verify;

pub(super) use blocks::{append, head};
pub use evidence::{EvidenceRecord, UnloggedEvidence};
pub(super) use evidence::{EvidenceRow, evidence_columns, logged_evidence};
pub use verify::AuditVerdict;
