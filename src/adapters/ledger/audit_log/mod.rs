//! The table of the audit log. Appends blocks of acts, each chained to the previous block. Reads and verifies blocks.

mod blocks;
mod verify;

pub(super) use blocks::{append, head};
pub use verify::AuditVerdict;
