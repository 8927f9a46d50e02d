//! The table of the audit log: appends blocks of acts, each chained to the block before; reads and verifies them.

mod blocks;
mod verify;

pub(super) use blocks::{append, head};
pub use verify::AuditVerdict;
