//! The audit log's table: blocks of acts, each behind the one before; appending, reading, verifying.

mod blocks;
mod verify;

pub(super) use blocks::{append, head};
pub use verify::AuditVerdict;
